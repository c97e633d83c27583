"""From sealed segments to blocks at the destination: two open blocks (data, trees), the uploader, what is safe."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from backupd.block.assembler import BlockAssembler, FinishedBlock
from backupd.block.layout import FrameHeader
from backupd.model.work import Sealed
from backupd.repository.opening import OpenRepository
from backupd.seal.cipher import EpochName

Send = Callable[[FinishedBlock], None]
FreeRing = Callable[[int, int], None]
"""Takes a ring part's number and an offset in it that is free again."""


class BlockWriter:
    """Places segments into open blocks and sends full ones."""

    def __init__(self, repository: OpenRepository, memory: mmap.mmap, send: Send, free_ring: FreeRing) -> None:
        """send: takes a finished block, of which `sent` says later what became."""
        self._repository, self._send, self._free_ring = repository, send, free_ring
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
            sealed.level,
        )
        block = self._open.get(content)
        if block is not None and not block.has_room(sealed.stored_bytes, sealed.ids, self.block_bytes):
            self._close(content)
            block = None
        if block is None:
            config = self._repository.keyring.configuration
            block = BlockAssembler(
                self._repository.id, self._epoch, self._keys.data_key, config.cipher, content, config.parity
            )
            self._open[content] = block
            self._offsets[block.block_id] = []
        view = self._memory[sealed.ring_offset : sealed.ring_offset + sealed.stored_bytes]
        block.add(frame, sealed.ids, view)
        self.placed_bytes += sealed.plain_bytes
        self._offsets[block.block_id].append((ring_part, sealed.ring_offset))

    def close_open(self, ring_part: int | None = None) -> None:
        """Send all open blocks, full or not; with ring_part those alone that something of it lies in."""
        for content, block in list(self._open.items()):
            places = self._offsets[block.block_id]
            if ring_part is None or any(part == ring_part for part, _ in places):
                self._close(content)

    def sent(self, block: FinishedBlock, *, is_safe: bool) -> None:
        """A block lies safe at the destination, or never will; nobody reads its buffers any more."""
        self.leave_ring(block)
        block.buffers.clear()
        if is_safe:
            self.sizes[block.block_id] = block.size_bytes
            self.stored_bytes += block.size_bytes
            self.safe.append(block)
            self.safe_chunks += sum(len(segment.ids) for segment in block.segments) // 32

    def is_under_way(self, ring_part: int) -> bool:
        """Whether a block that something of that part of the ring lies in is finished and not yet safe."""
        still_open = {block.block_id for block in self._open.values()}
        return any(
            part == ring_part
            for block_id, places in self._offsets.items()
            if block_id not in still_open
            for part, _ in places
        )

    @property
    def unsafe_bytes(self) -> int:
        """Bytes of blocks that are open or under way."""
        open_bytes = sum(block.size_bytes + block.directory_bytes for block in self._open.values())
        return open_bytes + self._sent_bytes - self.stored_bytes

    @property
    def has_open(self) -> bool:
        """Whether a block is open."""
        return bool(self._open)

    def take_safe(self) -> list[FinishedBlock]:
        """Blocks that no index object names yet; they are the caller's from now on."""
        safe, self.safe, self.safe_chunks = self.safe, [], 0
        return safe

    def leave_ring(self, block: FinishedBlock) -> None:
        """Nobody reads this block's segments in the ring any more."""
        for ring_part, offset in self._offsets.pop(block.block_id, ()):
            self._free_ring(ring_part, offset)

    def drop_open(self) -> None:
        """Forget the open blocks: they are never sent."""
        for block in self._open.values():
            for ring_part, offset in self._offsets.pop(block.block_id):
                self._free_ring(ring_part, offset)
        self._open.clear()

    def release(self) -> None:
        """Let go of the ring's memory."""
        self._open.clear()
        self._memory.release()

    def _close(self, content: int) -> None:
        block = self._open.pop(content)
        if not block.is_empty:
            finished = block.finish()
            self._sent_bytes += finished.size_bytes
            self._send(finished)
