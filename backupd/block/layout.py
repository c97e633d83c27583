"""The parts of a block: header, frame headers, directory, trailer (docs/format.md, Blocks)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
from blake3 import blake3

from backupd.block.segment import MAX_SEGMENT_BYTES
from backupd.errors import FormatError
from backupd.seal.cipher import (
    TAG_BYTES,
    Aead,
    Binding,
    EpochName,
    derive,
    make_nonce,
    new_aead,
    open_sealed,
    unpack_epoch,
)
from backupd.seal.header import HEADER_BYTES, ObjectKind, check_header, make_header

DATA = 1
TREE = 2
MAX_BLOCK_BYTES = 96 << 20
BLOCK_ID_BYTES = 32
HAS_PARITY = 1
"""Optional feature bit: a reader that knows of no parity reads the block all the same."""
_REST = struct.Struct("<16s32s12sBBH")
BLOCK_HEADER_BYTES = HEADER_BYTES + _REST.size
_FRAME = struct.Struct("<32sQII12sHBBB15x")
FRAME_PLAIN_BYTES = _FRAME.size
FRAME_HEADER_BYTES = FRAME_PLAIN_BYTES + TAG_BYTES
_TRAILER = struct.Struct("<8sQQQQI20x")
_TRAILER_MAGIC = b"BKDTRAIL"
TRAILER_BYTES = _TRAILER.size + 32


class BlockHeader(msgspec.Struct, frozen=True):
    """The clear beginning of a block."""

    repository_id: bytes
    block_id: bytes
    epoch: EpochName
    content: int
    """DATA or TREE."""


class FrameHeader(msgspec.Struct, frozen=True):
    """What stands before each segment."""

    salt: bytes
    counter: int
    stored_bytes: int
    plain_bytes: int
    epoch: EpochName
    chunk_count: int
    compression: int
    level: int = 0
    """How hard it was tried to compress it (`seal.compression.LEVEL_NUMBERS`), 0: not known."""


class Trailer(msgspec.Struct, frozen=True):
    """The clear end of a block."""

    directory_offset: int
    directory_bytes: int
    frame_count: int
    digest: bytes
    """BLAKE3 of all bytes before it."""
    parity_bytes: int = 0


def block_name(block_id: bytes) -> str:
    """The object's name below the repository."""
    text = block_id.hex()
    return f"blocks/{text[:2]}/{text}"


def pack_header(header: BlockHeader, has_parity: bool = False) -> bytes:
    """80 bytes."""
    rest = _REST.pack(header.repository_id, header.block_id, header.epoch.pack(), 0, header.content, 0)
    return make_header(ObjectKind.BLOCK, HAS_PARITY if has_parity else 0) + rest


def unpack_header(data: bytes | memoryview, block_id: bytes) -> BlockHeader:
    """Read a block's beginning. Raises FormatError, NewerVersionError."""
    name = block_name(block_id)
    check_header(data, ObjectKind.BLOCK, name)
    if len(data) < BLOCK_HEADER_BYTES:
        raise FormatError(f"{name} is truncated: {len(data)} bytes")
    repository_id, found_id, epoch, wrap, content, _ = _REST.unpack_from(data, HEADER_BYTES)
    if found_id != block_id or wrap != 0 or content not in (DATA, TREE):
        raise FormatError(f"{name} does not begin as a block of that name")
    return BlockHeader(repository_id, found_id, unpack_epoch(epoch), content)


def pack_frame(frame: FrameHeader) -> bytes:
    """The 80 plain bytes of a frame header."""
    return _FRAME.pack(
        frame.salt,
        frame.counter,
        frame.stored_bytes,
        frame.plain_bytes,
        frame.epoch.pack(),
        frame.chunk_count,
        frame.compression,
        0,
        frame.level,
    )


def unpack_frame(plain: bytes | memoryview) -> FrameHeader:
    """Read the 80 plain bytes of a frame header. Raises FormatError of another length or over a limit."""
    if len(plain) != FRAME_PLAIN_BYTES:
        raise FormatError(f"a frame header has {len(plain)} bytes")
    salt, counter, stored, plain_bytes, epoch, chunk_count, compression, wrap, level = _FRAME.unpack(plain)
    if plain_bytes > MAX_SEGMENT_BYTES or not TAG_BYTES <= stored <= MAX_SEGMENT_BYTES + 4096 or wrap:
        raise FormatError(f"a frame announces a segment of {plain_bytes} bytes in {stored}")
    return FrameHeader(salt, counter, stored, plain_bytes, unpack_epoch(epoch), chunk_count, compression, level)


class BlockSeal:
    """Seals and opens a block's own parts; one object a block, or one to read many of its frames."""

    def __init__(self, header: BlockHeader, data_key: bytes, cipher: str) -> None:
        self._name = block_name(header.block_id)
        self._binding = Binding(ObjectKind.BLOCK, header.repository_id, header.epoch, self._name)
        self._aead: Aead = new_aead(cipher, derive(data_key, header.block_id, "backupd block"))

    def seal_frame(self, offset: int, plain: bytes) -> bytes:
        """96 bytes for the frame header that begins at `offset` of the block."""
        return self._aead.encrypt(make_nonce(1, offset), plain, self._binding.associated(offset, False))

    def open_frame(self, offset: int, sealed: bytes | memoryview) -> FrameHeader:
        """Read the frame header that begins at `offset`. Raises SealError, FormatError."""
        associated = self._binding.associated(offset, False)
        what = f"frame at {offset} of {self._name}"
        return unpack_frame(open_sealed(self._aead, make_nonce(1, offset), sealed, associated, what))

    def seal_directory(self, frames: Sequence[tuple[bytes, bytes]]) -> bytes:
        """`frames`: (80 plain bytes of the header, ids of its chunks, 32 bytes each)."""
        plain = struct.pack("<I", len(frames)) + b"".join(part for frame in frames for part in frame)
        return self._aead.encrypt(make_nonce(2, 0), plain, self._binding.associated(len(frames), True))

    def open_directory(self, frame_count: int, sealed: bytes | memoryview) -> list[tuple[FrameHeader, bytes]]:
        """(frame header, chunk ids) of each frame. Raises SealError, FormatError."""
        associated = self._binding.associated(frame_count, True)
        plain = open_sealed(self._aead, make_nonce(2, 0), sealed, associated, f"directory of {self._name}")
        frames: list[tuple[FrameHeader, bytes]] = []
        at = 4
        if len(plain) < 4 or struct.unpack_from("<I", plain)[0] != frame_count:
            raise FormatError(f"directory of {self._name} contradicts the trailer")
        for _ in range(frame_count):
            if at + FRAME_PLAIN_BYTES > len(plain):
                raise FormatError(f"directory of {self._name} is cut off")
            frame = unpack_frame(plain[at : at + FRAME_PLAIN_BYTES])
            at += FRAME_PLAIN_BYTES
            ids = plain[at : at + 32 * frame.chunk_count]
            if len(ids) != 32 * frame.chunk_count:
                raise FormatError(f"directory of {self._name} is cut off")
            at += len(ids)
            frames.append((frame, ids))
        return frames


def pack_trailer(
    directory_offset: int, directory_bytes: int, frame_count: int, parity_offset: int = 0, parity_bytes: int = 0
) -> bytes:
    """The first 64 bytes of the trailer; the digest of all before it follows."""
    place = (directory_offset, directory_bytes, parity_offset, parity_bytes)
    return _TRAILER.pack(_TRAILER_MAGIC, *place, frame_count)


def unpack_trailer(data: bytes | memoryview, block_bytes: int, what: str) -> Trailer:
    """Read a block's last 96 bytes. Raises FormatError."""
    if len(data) != TRAILER_BYTES:
        raise FormatError(f"{what} is truncated")
    magic, offset, length, _, parity_bytes, frame_count = _TRAILER.unpack_from(data)
    if magic != _TRAILER_MAGIC or not BLOCK_HEADER_BYTES <= offset <= offset + length <= block_bytes - TRAILER_BYTES:
        raise FormatError(f"{what} has no whole trailer: truncated or damaged at its end")
    if frame_count > length // FRAME_PLAIN_BYTES:
        raise FormatError(f"{what}: its trailer announces {frame_count} frames")
    return Trailer(offset, length, frame_count, bytes(data[_TRAILER.size :]), parity_bytes)


def digest_of(parts: Sequence[bytes | memoryview]) -> bytes:
    """BLAKE3 over the parts in order."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest()
