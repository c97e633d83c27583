"""From entries to wishes: long values fetched, content measured and cut into stretches."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.errors import FormatError
from backupd.operations.restore.planning import FileWish, Stretch
from backupd.operations.snapshot_tree import extents_of
from backupd.tree.entry import Entry, Kind, Stored
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import Load

STRETCH_BYTES = 4 << 20
_EXTENT_BYTES = 16


def complete(wish: FileWish, load: Load) -> None:
    """Fetch what does not stand in the entry itself, and measure the content. Raises DamageError."""
    entry = wish.entry
    if entry.extra is not None:
        wish.xattrs = full_xattrs(entry, load)
        wish.extents = extents_of(entry, load)
    if entry.kind == Kind.FILE:
        wish.content_bytes = _content_bytes(wish.extents) if wish.extents else entry.size


def full_xattrs(entry: Entry, load: Load) -> list[tuple[bytes, bytes]] | None:
    """All extended attributes where not all stand in the entry, else None. Raises DamageError."""
    xattrs = entry.extra.xattrs if entry.extra is not None else None
    if not xattrs or not any(isinstance(value, Stored) for _, value in xattrs):
        return None
    return [(name, load(value.id) if isinstance(value, Stored) else value) for name, value in xattrs]


def stretches(wish: FileWish, load: Load) -> Iterator[Stretch]:
    """A file's chunks in rows of about STRETCH_BYTES. Raises DamageError."""
    ids, lengths, start, length = bytearray(), list[int](), 0, 0
    for chunk_id, chunk_bytes in iterate_chunks(wish.entry.content, wish.content_bytes, load):
        ids += chunk_id
        lengths.append(chunk_bytes)
        length += chunk_bytes
        if length >= STRETCH_BYTES:
            yield Stretch(wish, start, bytes(ids), lengths)
            ids, lengths, start, length = bytearray(), [], start + length, 0
    if lengths:
        yield Stretch(wish, start, bytes(ids), lengths)


def wish_of(item: FileWish | Stretch) -> FileWish:
    """The file that something is of."""
    return item if isinstance(item, FileWish) else item.wish


def _content_bytes(extents: bytes) -> int:
    """Bytes of content of a sparse file: what its data extents hold. Raises FormatError."""
    if len(extents) % _EXTENT_BYTES:
        raise FormatError("its list of data extents is malformed")
    return sum(int.from_bytes(extents[at : at + 8], "little") for at in range(8, len(extents), _EXTENT_BYTES))
