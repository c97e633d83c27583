"""From sealed segments to blocks at the destination: two open blocks (data, trees), the uploader, what is safe."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from backupd.block.assembler import BlockAssembler, FinishedBlock
from backupd.block.layout import DATA, FRAME_HEADER_BYTES, FRAME_PLAIN_BYTES, TRAILER_BYTES, FrameHeader
from backupd.model.work import Sealed
from backupd.repository.opening import OpenRepository
from backupd.repository.uploader import Uploader
from backupd.seal.cipher import TAG_BYTES, EpochName

_END_BYTES = TRAILER_BYTES + TAG_BYTES + 4
"""What a directory and a trailer take beside their rows."""

FreeRing = Callable[[int, int], None]
"""Takes a ring part's number and an offset in it that is free again."""


class BlockWriter:
    """Places segments into open blocks and sends full ones."""

    def __init__(
        self, repository: OpenRepository, memory: mmap.mmap, uploader: Uploader, free_ring: FreeRing
    ) -> None:
        self._repository, self._uploader, self._free_ring = repository, uploader, free_ring
        self._memory = memoryview(memory)
        self._open: dict[int, BlockAssembler] = {}
        self._offsets: dict[bytes, list[tuple[int, int]]] = {}
        self._keys = repository.keyring.current
        self._epoch = EpochName(self._keys.number, self._keys.random)
        self.block_bytes = repository.keyring.configuration.block_bytes
        self.safe: list[FinishedBlock] = []
        """Blocks acknowledged since `take_safe`, without their buffers."""
        self.safe_chunks = 0
        self.sizes: dict[bytes, int] = {}
        """Size of every block that this run stored."""
        self.stored_bytes = 0
        self.placed_bytes = 0
        """Plain bytes of all segments in blocks, open ones too."""
        self._sent_bytes = 0

    def add(self, ring_part: int, sealed: Sealed, content: int) -> None:
        """Place a segment that lies in the ring."""
        frame = FrameHeader(
            sealed.salt,
            sealed.counter,
            sealed.stored_bytes,
            sealed.plain_bytes,
            self._epoch,
            len(sealed.ids) // 32,
            sealed.compression,
        )
        block = self._open.get(content)
        needed = FRAME_HEADER_BYTES + sealed.stored_bytes + FRAME_PLAIN_BYTES + len(sealed.ids) + _END_BYTES
        if block is not None and block.size_bytes + block.directory_bytes + needed > self.block_bytes:
            self._close(content)
            block = None
        if block is None:
            config = self._repository.keyring.configuration
            block = BlockAssembler(
                self._repository.id, self._epoch, self._keys.data_key, config.cipher, content
            )
            self._open[content] = block
            self._offsets[block.block_id] = []
        view = self._memory[sealed.ring_offset : sealed.ring_offset + sealed.stored_bytes]
        block.add(frame, sealed.ids, view)
        self.placed_bytes += sealed.plain_bytes
        self._offsets[block.block_id].append((ring_part, sealed.ring_offset))

    def close_open(self) -> None:
        """Send all open blocks, full or not."""
        for content in list(self._open):
            self._close(content)

    def collect(self) -> None:
        """Take in what the uploader has finished. Raises what ended it."""
        for block in self._uploader.take_done():
            for ring_part, offset in self._offsets.pop(block.block_id):
                self._free_ring(ring_part, offset)
            self.sizes[block.block_id] = block.size_bytes
            self.stored_bytes += block.size_bytes
            block.buffers.clear()
            self.safe.append(block)
            self.safe_chunks += sum(len(segment.ids) for segment in block.segments) // 32

    @property
    def unsafe_bytes(self) -> int:
        """Bytes of blocks that are open or under way."""
        open_bytes = sum(block.size_bytes + block.directory_bytes for block in self._open.values())
        return open_bytes + self._sent_bytes - self.stored_bytes

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open or under way."""
        return not self._open and not self._uploader.under_way

    def uses(self, ring_part: int) -> bool:
        """Whether a block that is not yet safe lies in that part of the ring."""
        return any(part == ring_part for places in self._offsets.values() for part, _ in places)

    def take_safe(self) -> list[FinishedBlock]:
        """Blocks that no index object names yet; they are the caller's from now on."""
        safe, self.safe, self.safe_chunks = self.safe, [], 0
        return safe

    def release(self) -> None:
        """Let go of the ring's memory."""
        self._open.clear()
        self._memory.release()

    def _close(self, content: int) -> None:
        block = self._open.pop(content)
        if not block.is_empty:
            finished = block.finish()
            self._sent_bytes += finished.size_bytes
            self._uploader.send(finished)


def is_data(block: FinishedBlock) -> bool:
    """Whether it holds file content, not trees."""
    return block.content == DATA
