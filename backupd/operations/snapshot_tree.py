"""A snapshot's tree as commands look at it: entries by path, directories, contents of files."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.errors import FormatError, PathNotFoundError
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_lookup, open_reader
from backupd.snapshot.records import Snapshot
from backupd.source.extents import ExtentMap
from backupd.tree.entry import UNFINISHED, Entry, Kind, Stored
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import Load, find_entry, iterate_entries

_ZEROS = bytes(1 << 20)


def open_trees(context: JobContext, place: OpenPlace) -> Load:
    """What loads tree nodes and chunks of an open place; says which index objects are damaged."""
    index = open_lookup(place, is_selective=True)
    for name, message in index.damaged.items():
        context.warn(f"index object {name} is damaged, so some files may not be found: {message}")
    return open_reader(place, index).load


def root_entry(snapshot: Snapshot) -> Entry:
    """The directory that stands for `/`, which no directory names."""
    return Entry(b"/", Kind.DIRECTORY, 0o755, 0, 0, snapshot.started_ns, 0, snapshot.root)


def find(root: Entry, path: bytes, load: Load) -> Entry | None:
    """The entry of an absolute path; None where the snapshot has none. Symlinks are not followed.

    Raises DamageError of a node on the way.
    """
    entry: Entry | None = root
    for name in filter(None, path.split(b"/")):
        if entry is None or not isinstance(entry.content, bytes) or entry.kind != Kind.DIRECTORY:
            return None
        entry = find_entry(entry.content, name, load)
    return entry


def require(root: Entry, path: bytes, load: Load) -> Entry:
    """The entry of an absolute path. Raises PathNotFoundError, DamageError."""
    entry = find(root, path, load)
    if entry is None:
        raise PathNotFoundError(
            f"the snapshot does not hold {shown(path)}",
            hint="`bkctl snapshot ls` shows what it holds; paths are the full ones of the source",
        )
    return entry


def children(entry: Entry, load: Load) -> Iterator[Entry]:
    """Entries of a directory in byte order of names; nothing for what is none. Raises DamageError."""
    if entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
        yield from iterate_entries(entry.content, load)


def join(directory: bytes, name: bytes) -> bytes:
    """The path of a name in a directory."""
    return directory.rstrip(b"/") + b"/" + name


def extents_of(entry: Entry, load: Load) -> bytes:
    """Data extents of a sparse file, packed; empty: the whole file is data. Raises DamageError."""
    extents = entry.extra.extents if entry.extra is not None else None
    if not isinstance(extents, Stored):
        return extents or b""
    packed = load(extents.id)
    if len(packed) != extents.length:
        raise FormatError(f"the extents of {shown(entry.name)} have {len(packed)} bytes, not {extents.length}")
    return packed


def is_unfinished(entry: Entry) -> bool:
    """Whether only the first part of a file is stored."""
    return entry.extra is not None and bool(entry.extra.state & UNFINISHED)


def read_file(entry: Entry, load: Load) -> Iterator[bytes]:
    """The bytes of a file in order, in pieces of at most the size of a chunk; holes come as zeros.

    An unfinished file ends where its stored part does. Raises DamageError; FormatError when the parts contradict the
    file's size.
    """
    layout = ExtentMap(extents_of(entry, load), entry.size)
    at = done = 0
    for chunk_id, length in iterate_chunks(entry.content, layout.content_bytes, load):
        chunk = memoryview(load(chunk_id))
        if len(chunk) != length:
            raise FormatError(f"a chunk of {shown(entry.name)} has {len(chunk)} bytes, not {length}")
        used = 0
        for offset, size in layout.pieces(done, done + length):
            yield from _zeros(offset - at)
            yield bytes(chunk[used : used + size])
            used += size
            at = offset + size
        done += length
        if used != length:
            raise FormatError(f"{shown(entry.name)} has more content than its size of {entry.size} bytes takes")
    if is_unfinished(entry):
        return
    if done != layout.content_bytes:
        raise FormatError(f"{shown(entry.name)} has {done} bytes of content where {layout.content_bytes} are announced")
    yield from _zeros(entry.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[: min(count, len(_ZEROS))]
        count -= len(_ZEROS)
