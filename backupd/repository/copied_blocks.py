"""Sealed segments of another destination on their way into blocks of this one: placed as they are, sent, safe."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

import msgspec

from backupd.block.assembler import BlockAssembler, FinishedBlock
from backupd.block.layout import FRAME_HEADER_BYTES, FrameHeader
from backupd.block.segment import Segment
from backupd.cache.index_tables import IndexTables
from backupd.repository.index_loading import publish, to_contents
from backupd.repository.measuring import missing
from backupd.repository.opening import OpenRepository
from backupd.repository.uploader import Announce, Uploader
from backupd.store_errors import BlocksLostError

_HELD_BLOCKS = 3
"""So many blocks' worth of bytes are held at most: two open ones, and one under way."""
_WAIT_SECONDS = 0.2


class SealedSegment(msgspec.Struct, frozen=True):
    """A segment as it lies in a block: opened and hashed, so known to be whole."""

    frame: FrameHeader
    content: int
    """Of the block that it lies in: data or trees."""
    ids: bytes
    """32 bytes a chunk."""
    sealed: bytes
    opened: Segment | None
    """Its chunks; None of one that was just sealed."""


class CopiedBlocks:
    """The open blocks of one writer. One thread calls everything here.

    A segment keeps its salt, counter and epoch: nothing in it names the block that it lies in (DESIGN 4).
    """

    def __init__(self, repository: OpenRepository, announce: Announce, tick: Callable[[], None]) -> None:
        """announce: as of the uploader. tick: called several times a second while the destination is waited for."""
        self._repository, self._tick = repository, tick
        self._wake, self._waker = socket.socketpair()
        self._uploader = Uploader(repository.place, announce, self._waker)
        self._open: dict[int, BlockAssembler] = {}
        self._block_bytes = repository.keyring.configuration.block_bytes
        self._held_bytes = 0
        self._safe: list[FinishedBlock] = []
        self.placed: set[bytes] = set()
        """Chunks that no index object names yet."""
        self.sizes: dict[bytes, int] = {}
        """Size of every block that was stored."""
        self.stored_bytes = 0

    @property
    def unsafe_bytes(self) -> int:
        """Placed, and not yet acknowledged."""
        return self._held_bytes

    def add(self, segment: SealedSegment) -> None:
        """Place a segment. Raises what ended the sending, and what `tick` raises."""
        taken = FRAME_HEADER_BYTES + segment.frame.stored_bytes
        block = self._open.get(segment.content)
        if block is not None and not block.has_room(segment.frame.stored_bytes, segment.ids, self._block_bytes):
            self._close(segment.content)
            block = None
        while self._uploader.under_way and self._held_bytes + taken > _HELD_BLOCKS * self._block_bytes:
            self._wait()
        if block is None:
            keyring = self._repository.keyring
            block = self._open[segment.content] = BlockAssembler(
                self._repository.id,
                keyring.current.name,
                keyring.current.data_key,
                keyring.configuration.cipher,
                segment.content,
                keyring.configuration.parity,
            )
        block.add(segment.frame, segment.ids, segment.sealed)
        self._held_bytes += taken
        ids = segment.ids
        self.placed.update(ids[at : at + 32] for at in range(0, len(ids), 32))

    def finish(self) -> None:
        """Send what is open and wait until all is safe. Raises what ended the sending, and what `tick` raises."""
        for content in list(self._open):
            self._close(content)
        while self._uploader.under_way:
            self._wait()

    def take_safe(self) -> list[FinishedBlock]:
        """Blocks acknowledged since the last call; they are the caller's, who names them in an index object."""
        self._collect()
        safe, self._safe = self._safe, []
        return safe

    def publish(self, tables: IndexTables, generation: int, report: Callable[[str], None]) -> bool:
        """Measure what is safe, name it in index objects and forget it; whether there was any.

        generation: of the newest gc list that was gone by. Raises BlocksLostError; what is named then stays named.
        """
        safe = self.take_safe()
        lost = missing(self._repository.place, {block.block_id: block.size_bytes for block in safe}, report)
        if lost:
            raise BlocksLostError(
                f"{len(lost)} of {len(safe)} blocks are not at the destination as they were sent",
                hint="nothing was deleted; look at the disk or store, then run it again",
            )
        if safe:
            publish(self._repository, tables, [to_contents(block) for block in safe], generation)
            self.forget(safe)
        return bool(safe)

    def forget(self, blocks: list[FinishedBlock]) -> None:
        """The index names these blocks."""
        for block in blocks:
            for segment in block.segments:
                ids = segment.ids
                self.placed.difference_update(ids[at : at + 32] for at in range(0, len(ids), 32))

    def close(self) -> None:
        """End the sending after what is queued; what is open is given up."""
        self._open.clear()
        self._uploader.close()
        self._wake.close()
        self._waker.close()

    def _close(self, content: int) -> None:
        self._uploader.send(self._open.pop(content).finish())

    def _wait(self) -> None:
        self._tick()
        if select.select([self._wake], [], [], _WAIT_SECONDS)[0]:
            self._wake.recv(64)
        self._collect()

    def _collect(self) -> None:
        for block in self._uploader.take_done():
            self.sizes[block.block_id] = block.size_bytes
            self.stored_bytes += block.size_bytes
            self._held_bytes -= sum(FRAME_HEADER_BYTES + segment.stored_bytes for segment in block.segments)
            block.buffers.clear()
            self._safe.append(block)
