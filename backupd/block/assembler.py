"""Makes a block of sealed segments: they are placed as they come, the directory follows (DESIGN 5)."""

from __future__ import annotations

import os

import msgspec
from blake3 import blake3

from backupd.block import layout, parity
from backupd.block.layout import (
    BLOCK_HEADER_BYTES,
    BLOCK_ID_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_PLAIN_BYTES,
    TRAILER_BYTES,
    BlockHeader,
    BlockSeal,
    FrameHeader,
)
from backupd.block.parity_layout import Description, most_data_bytes, part_bytes
from backupd.seal.cipher import TAG_BYTES, EpochName

_DIRECTORY_BYTES = TAG_BYTES + 4
"""What a directory takes beside its rows."""


class PlacedSegment(msgspec.Struct, frozen=True, array_like=True):
    """A segment in a block: where its frame header begins, its lengths, its chunks in order."""

    offset: int
    stored_bytes: int
    plain_bytes: int
    ids: bytes


class FinishedBlock(msgspec.Struct):
    """A closed block: once it is complete, `buffers` in order are its bytes."""

    block_id: bytes
    content: int
    size_bytes: int
    """Of the complete block."""
    buffers: list[bytes | memoryview]
    segments: list[PlacedSegment]
    frame_count: int
    directory_offset: int
    percent: int
    """Of parity."""
    digest: bytes = b""
    """BLAKE3 of all before it, which is the end of the block; empty until it is complete."""

    def complete(self) -> None:
        """Hash the block, and put parity and trailer behind it; a second time is none.

        On a thread that nobody waits for: it takes about as long as sealing did, mostly without the interpreter's lock.
        """
        if self.digest:
            return
        hasher = blake3()
        for buffer in self.buffers:
            hasher.update(buffer)
        end = self._end(sum(map(len, self.buffers)), hasher.digest())
        for buffer in end:
            hasher.update(buffer)
        self.digest = hasher.digest()
        self.buffers += (*end, self.digest)

    def _end(self, data_bytes: int, digest: bytes) -> list[bytes]:
        """Parity, where there is to be any, and the first part of the trailer. digest: of all before it."""
        if not self.percent:
            directory_bytes = data_bytes - self.directory_offset
            return [layout.pack_trailer(self.directory_offset, directory_bytes, self.frame_count)]
        about = Description(self.percent, self.frame_count, data_bytes, self.directory_offset, digest)
        part = parity.encode(self.buffers, about)
        return [part, parity.make_end(about, part)]


class BlockAssembler:
    """One open block. Buffers given to `add` must stay unchanged until the finished block was sent."""

    def __init__(
        self, repository_id: bytes, epoch: EpochName, data_key: bytes, cipher: str, content: int, percent: int = 0
    ) -> None:
        """percent: of parity."""
        self.block_id = os.urandom(BLOCK_ID_BYTES)
        self._percent = percent
        self._content = content
        header = BlockHeader(repository_id, self.block_id, epoch, content)
        self._seal = BlockSeal(header, data_key, cipher)
        self._buffers: list[bytes | memoryview] = [layout.pack_header(header, percent > 0)]
        self._frames: list[tuple[bytes, bytes]] = []
        self._segments: list[PlacedSegment] = []
        self.size_bytes = BLOCK_HEADER_BYTES
        """So far, without the directory and the trailer."""
        self.directory_bytes = 0
        """Of the directory so far: of tiny chunks it is longer than the segments."""

    def add(self, frame: FrameHeader, ids: bytes, sealed: bytes | memoryview) -> None:
        """Place the next segment. `ids`: 32 bytes a chunk; `sealed`: `frame.stored_bytes` long."""
        plain = layout.pack_frame(frame)
        self._buffers += (self._seal.seal_frame(self.size_bytes, plain), sealed)
        self._frames.append((plain, ids))
        self._segments.append(PlacedSegment(self.size_bytes, frame.stored_bytes, frame.plain_bytes, ids))
        self.size_bytes += FRAME_HEADER_BYTES + frame.stored_bytes
        self.directory_bytes += len(plain) + len(ids)

    @property
    def is_empty(self) -> bool:
        """Whether no segment was placed yet."""
        return not self._frames

    def has_room(self, stored_bytes: int, ids: bytes, block_bytes: int) -> bool:
        """Whether the block stays within a size with another segment, its directory, its parity and its end."""
        more = FRAME_HEADER_BYTES + stored_bytes + FRAME_PLAIN_BYTES + len(ids)
        most = most_data_bytes(block_bytes, self._percent, TRAILER_BYTES)
        return self.size_bytes + self.directory_bytes + more + _DIRECTORY_BYTES <= most

    def finish(self) -> FinishedBlock:
        """Close the block; no segment may be added afterwards. It is left to be completed."""
        directory = self._seal.seal_directory(self._frames)
        self._buffers.append(directory)
        data_bytes = self.size_bytes + len(directory)
        size = data_bytes + part_bytes(data_bytes, self._percent) + TRAILER_BYTES
        about = (self.block_id, self._content, size, self._buffers, self._segments)
        return FinishedBlock(*about, len(self._frames), self.size_bytes, self._percent)
