"""Nodes and lists that the coordinator itself keeps as chunks: packed, sealed, placed into tree blocks."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable

from backupd.block.layout import TREE
from backupd.block.segment import ZERO_SALT
from backupd.model import work
from backupd.repository.lanes import Lanes
from backupd.repository.packing import OpenSegments, SegmentPacker
from backupd.repository.ring import RingAllocator

TREE_PART = -1
"""Number of the ring part that nodes are sealed into."""


class NodeStoring:
    """The coordinator's own open segments."""

    def __init__(
        self,
        setup: work.RepositorySetup,
        compression: str,
        is_checked: bool,
        memory: mmap.mmap,
        ring: RingAllocator,
        lanes: Lanes,
        wait: Callable[[], None],
    ) -> None:
        """ring: over a part of the memory. wait: waits until something was sent."""
        self._ring, self._lanes, self._wait = ring, lanes, wait
        self._segments = OpenSegments(
            lambda mask: SegmentPacker(setup, compression, is_checked, memory, self._allocate, self.free, mask)
        )

    def add(self, mask: int, data: bytes, chunk_id: bytes) -> None:
        """Pack a node that the destinations of the mask lack."""
        self._place(self._segments.add(mask, data, chunk_id, ZERO_SALT, True))

    def flush(self) -> None:
        """Seal what is open."""
        self._place(self._segments.flush())

    def free(self, offset: int) -> None:
        """Nobody reads what begins there in the ring any more."""
        self._ring.free(offset)

    def _place(self, segments: Iterable[work.Sealed]) -> None:
        for sealed in segments:
            self._lanes.add(TREE_PART, sealed, TREE)

    def _allocate(self, length: int) -> int:
        while (offset := self._ring.allocate(length)) is None:
            self._lanes.close_open(TREE_PART)
            self._wait()
        return offset
