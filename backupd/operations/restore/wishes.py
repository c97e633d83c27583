"""From entries to wishes: long values fetched, content measured and cut into stretches."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.errors import DamageError, FormatError
from backupd.model.results import shown
from backupd.operations.restore.planning import FileWish, Stretch
from backupd.operations.snapshot_tree import extents_of
from backupd.tree.entry import Entry, Kind, Stored
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import Load

STRETCH_BYTES = 4 << 20
STRETCH_CHUNKS = 16_384
_EXTENT_BYTES = 16


def complete(wish: FileWish, load: Load) -> str:
    """Fetch what does not stand in the entry itself, and measure the content; says which attributes are lost.

    Raises DamageError where the content can't be had without what is lost.
    """
    entry, lost = wish.entry, ""
    if entry.extra is not None:
        wish.xattrs, lost = full_xattrs(entry, load)
        wish.extents = extents_of(entry, load)
    if entry.kind == Kind.FILE:
        wish.content_bytes = _content_bytes(wish.extents) if wish.extents else entry.size
    return lost


def full_xattrs(entry: Entry, load: Load) -> tuple[list[tuple[bytes, bytes]] | None, str]:
    """All extended attributes where not all stand in the entry, else None; and what of them is lost, empty: nothing."""
    xattrs = entry.extra.xattrs if entry.extra is not None else None
    if not xattrs or not any(isinstance(value, Stored) for _, value in xattrs):
        return None, ""
    found: list[tuple[bytes, bytes]] = []
    lost: list[str] = []
    for name, value in xattrs:
        try:
            found.append((name, load(value.id) if isinstance(value, Stored) else value))
        except DamageError as error:
            lost.append(f"extended attribute {shown(name)}: {error.message}")
    return found, "; ".join(lost)


def stretches(wish: FileWish, load: Load) -> Iterator[Stretch]:
    """A file's chunks in rows of about STRETCH_BYTES, fewer where chunks are tiny. Raises DamageError."""
    ids, lengths, start, length = bytearray(), list[int](), 0, 0
    for chunk_id, chunk_bytes in iterate_chunks(wish.entry.content, wish.content_bytes, load):
        ids += chunk_id
        lengths.append(chunk_bytes)
        length += chunk_bytes
        if length >= STRETCH_BYTES or len(lengths) >= STRETCH_CHUNKS:
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
