"""What is needed of segments that are partly dead, in new segments: grouped, compressed, sealed and checked anew."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator

from backupd.block.layout import FrameHeader
from backupd.block.segment import MAX_SEGMENT_BYTES
from backupd.model.work import RepositorySetup, Sealed
from backupd.repository.copied_blocks import SealedSegment
from backupd.repository.packing import SegmentPacker
from backupd.seal.cipher import EpochName
from backupd.seal.compression import NONE

_MEMORY_BYTES = MAX_SEGMENT_BYTES + (1 << 20)


class Repacker:
    """Open segments of one content. Give it back what it needs by `close`."""

    def __init__(self, setup: RepositorySetup, compression: str, content: int) -> None:
        """content: data or trees. compression: of what is compressed now."""
        self._content = content
        number, random, _ = setup.epochs[-1]
        self._epoch = EpochName(number, random)
        self._memory = mmap.mmap(-1, _MEMORY_BYTES)
        # A segment is copied out of the memory as soon as it is sealed: each begins at its start.
        self._packer = SegmentPacker(setup, compression, True, self._memory, lambda _: 0, lambda _: None)

    def add(self, segment: SealedSegment, is_needed: Callable[[bytes], bool]) -> Iterator[SealedSegment]:
        """Take what is needed of a segment over; gives new segments that are full by it."""
        opened = segment.opened
        if opened is None:
            raise AssertionError("a fetched segment was opened")
        is_compressible = segment.frame.compression != NONE
        for position in range(len(opened)):
            chunk_id = segment.ids[32 * position : 32 * position + 32]
            if is_needed(chunk_id):
                # A copy: the packer holds it until its segment is full.
                chunk = bytes(opened.chunk(position))
                yield from self.put(chunk, chunk_id, opened.salts[position], is_compressible=is_compressible)

    def put(
        self, chunk: bytes, chunk_id: bytes, salt: bytes, *, is_compressible: bool = True
    ) -> Iterator[SealedSegment]:
        """Take a chunk that is not stored yet; gives the new segment that is full by it. salt: of its scope."""
        sealed = self._packer.add(chunk, chunk_id, salt, is_compressible)
        if sealed is not None:
            yield self._taken(sealed)

    def flush(self) -> Iterator[SealedSegment]:
        """What is open."""
        sealed = self._packer.flush()
        if sealed is not None:
            yield self._taken(sealed)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()

    def _taken(self, sealed: Sealed) -> SealedSegment:
        data = self._memory[: sealed.stored_bytes]
        frame = FrameHeader(
            sealed.salt,
            sealed.counter,
            sealed.stored_bytes,
            sealed.plain_bytes,
            self._epoch,
            len(sealed.ids) // 32,
            sealed.compression,
        )
        return SealedSegment(frame, self._content, sealed.ids, data, None)

