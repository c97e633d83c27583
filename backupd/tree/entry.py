"""One entry of a directory as a snapshot holds it (docs/format.md, Entries)."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

import msgspec

from backupd.errors import FormatError
from backupd.wire.malformed import MALFORMED

INLINE_VALUE_LIMIT = 512
"""xattr and ACL values longer than this are stored as chunks."""

ChunkId = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Word = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""What a system call takes as an unsigned number of 32 bits."""
DeviceNumber = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Kind(IntEnum):
    """What an entry is."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    CHARACTER_DEVICE = 5
    BLOCK_DEVICE = 6
    SOCKET = 7


class Chunks(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Content of 1 to 256 chunks, in file order."""

    size_class: int
    """log2 of the average chunk size the file was cut with."""
    ids: bytes
    """32 bytes a chunk."""
    lengths: Annotated[list[int], msgspec.Meta(max_length=256)]
    """Plain bytes of each."""


class ChunkTree(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Content of more than 256 chunks: the root of a tree of list nodes."""

    size_class: int
    root: ChunkId
    """Chunk id of the list node."""
    height: int
    """1: the root holds chunks; more: it holds nodes of height - 1."""
    count: int
    """Chunks in all."""


class Device(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Numbers of a character or block device."""

    major: DeviceNumber
    minor: DeviceNumber


Content = bytes | Chunks | ChunkTree | Device | None


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A value too long to stand inline: the chunk that holds it."""

    id: ChunkId
    length: int


class Extra(msgspec.Struct, frozen=True, array_like=True):
    """What few entries have."""

    hard_link: bytes | None = None
    """16 bytes that all names of one inode share; only where there are several."""
    xattrs: Annotated[list[tuple[bytes, bytes | Stored]], msgspec.Meta(max_length=1 << 16)] | None = None
    """In byte order of names; POSIX ACLs are among them as system.posix_acl_*."""
    birth_ns: int | None = None
    """Time of creation where the platform tells and can set it (macOS)."""
    flags: Word = 0
    """Inode flags: on Linux the FS_*_FL bits of source.metadata.KEPT_FLAGS, on macOS st_flags."""
    salt: bytes | None = None
    """32 bytes of scope salt where the scope is not the whole set or repository."""
    extents: bytes | Stored | None = None
    """Data extents of a sparse file: little-endian u64 pairs (offset, length); content is their concatenation."""
    state: int = 0
    """Bits: CHANGED, UNFINISHED, ANCESTOR."""
    began_with: tuple[int, int, int, int] | None = None
    """Unfinished files: size, mtime_ns, ctime_ns, inode at the moment reading began."""


CHANGED = 1
"""The file changed while it was read; the bytes may mix two states."""
UNFINISHED = 2
"""Only the first part is stored (partial snapshots only)."""
ANCESTOR = 4
"""A directory above a source: its own metadata, but only the entries that lead to sources."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One name in a directory."""

    name: bytes
    kind: int
    mode: int
    """Permission bits, 0 to 0o7777."""
    uid: Word
    gid: Word
    mtime_ns: int
    size: Size
    """Bytes of a file or of a symlink's target, else 0."""
    content: Content
    """File: None when empty, 32 bytes of chunk id when one chunk, else Chunks or ChunkTree. Directory: 32 bytes, the
    id of its top node. Symlink: its target. Device: its numbers. Else None."""
    extra: Extra | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """The one encoding of an entry: equal entries give equal bytes."""
    return _encoder.encode(entry)


def check_name(name: bytes) -> None:
    """Refuse what can't be one name in a directory; restore relies on it.

    Raises FormatError.
    """
    if not name or b"/" in name or b"\0" in name or name == b"." or name == b".." or len(name) > 255 * 4:  # noqa: PLR1714
        raise FormatError(f"{name!r} can't be a name in a directory")


def decode(data: bytes | memoryview) -> Entry:
    """Read one entry. Raises FormatError when malformed."""
    try:
        entry: Entry = _decoder.decode(data)
    except MALFORMED as error:
        raise FormatError(f"malformed entry: {error}") from error
    check(entry)
    return entry


def check(entry: Entry) -> None:
    """Refuse an entry whose parts contradict each other. Raises FormatError."""
    check_name(entry.name)
    content: Any = entry.content
    kind = entry.kind
    # Asked for a million times in a row: plain comparisons, the common ones first.
    if kind == _FILE:
        fits = content is None or _is_id(content) or isinstance(content, _LISTED)
    elif kind == _DIRECTORY:
        fits = _is_id(content)
    elif kind == Kind.SYMLINK:
        fits = isinstance(content, bytes)
    elif kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        fits = isinstance(content, Device)
    else:
        fits = content is None
    sound = 1 <= kind <= 7 and 0 <= entry.mode <= 0o7777 and entry.size >= 0 and entry.uid >= 0 and entry.gid >= 0
    if not fits or not sound:
        raise FormatError(f"entry {entry.name!r} contradicts itself")
    if isinstance(content, Chunks) and len(content.ids) != 32 * len(content.lengths):
        count = len(content.ids) // 32
        raise FormatError(f"entry {entry.name!r} has {len(content.lengths)} lengths for {count} chunks")


def _is_id(content: object) -> bool:
    return isinstance(content, bytes) and len(content) == 32


_FILE, _DIRECTORY = int(Kind.FILE), int(Kind.DIRECTORY)
_LISTED = (Chunks, ChunkTree)
