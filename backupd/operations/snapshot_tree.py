"""A snapshot's tree as commands look at it, as far as the caller could have: entries by path, contents of files."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.errors import AccessError, FormatError, PathNotFoundError
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_lookup, open_reader
from backupd.snapshot.records import Snapshot
from backupd.source.extents import ExtentMap
from backupd.tree import permissions
from backupd.tree.comparing import Pair, differing_entries
from backupd.tree.entry import UNFINISHED, Entry, Kind, Stored
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import Load, find_entry, iterate_entries
from backupd.tree.permissions import Reader

_ZEROS = bytes(1 << 20)


class Trees:
    """The trees of a place, as far as one reader could have read them when they were backed up.

    What he could not have reached is as if it were not there.
    """

    def __init__(self, load: Load, reader: Reader | None = None) -> None:
        """load: gives nodes and chunks. reader: None: sees all."""
        self.load, self._reader = load, reader

    @property
    def shows_all(self) -> bool:
        """Whether nothing is kept from the reader."""
        return self._reader is None

    def can_read(self, entry: Entry) -> bool:
        """Whether a file's bytes or a directory's entries may be given."""
        return self._reader is None or permissions.can_read(self._reader, entry, self.load)

    def refuse_unreadable(self, entry: Entry, path: bytes) -> None:
        """Raises AccessError unless `can_read`."""
        if not self.can_read(entry):
            raise AccessError(
                f"you could not have read {shown(path)} when it was backed up", hint="an administrator can restore it"
            )

    def entries(self, directory: Entry) -> Iterator[Entry]:
        """Entries of a directory in byte order of names; none of what is not readable. Raises DamageError."""
        node = self._node(directory)
        if node is None:
            return
        reader, load = self._reader, self.load
        if reader is None:
            yield from iterate_entries(node, load)
            return
        for entry in iterate_entries(node, load):
            yield permissions.veiled(reader, entry, load)

    def entry(self, directory: Entry, name: bytes) -> Entry | None:
        """One entry of a directory; None where it has none or could not be passed. Raises DamageError."""
        if directory.kind != Kind.DIRECTORY or not isinstance(directory.content, bytes):
            return None
        reader, load = self._reader, self.load
        if reader is None:
            return find_entry(directory.content, name, load)
        if not permissions.allows(reader, directory, permissions.SEARCH, load):
            return None
        entry = find_entry(directory.content, name, load)
        return permissions.veiled(reader, entry, load) if entry is not None else None

    def differing(self, before: Entry | None, after: Entry | None) -> Iterator[Pair]:
        """Names whose entries are not equal in two directories, in byte order. Raises DamageError."""
        reader, load = self._reader, self.load
        for old, new in differing_entries(self._node(before), self._node(after), load):
            if reader is None:
                yield old, new
                continue
            seen_old = permissions.veiled(reader, old, load) if old is not None else None
            seen_new = permissions.veiled(reader, new, load) if new is not None else None
            if seen_old != seen_new:
                yield seen_old, seen_new

    def _node(self, entry: Entry | None) -> bytes | None:
        """The top node of a directory whose entries may be given."""
        if entry is None or entry.kind != Kind.DIRECTORY or not isinstance(entry.content, bytes):
            return None
        return entry.content if self.can_read(entry) else None


def trees_of(context: JobContext, load: Load) -> Trees:
    """The trees that a loader gives, for the order's caller."""
    caller = context.order.caller
    return Trees(load, Reader(caller.uid, frozenset([caller.gid, *caller.groups])) if caller is not None else None)


def open_trees(context: JobContext, place: OpenPlace) -> Trees:
    """The trees of an open place; says which index objects are damaged."""
    index = open_lookup(place, is_selective=True)
    for name, message in index.damaged.items():
        context.warn(f"index object {name} is damaged, so some files may not be found: {message}")
    return trees_of(context, open_reader(place, index).load)


def root_entry(snapshot: Snapshot) -> Entry:
    """The directory that stands for `/`, which no directory names."""
    return Entry(b"/", Kind.DIRECTORY, 0o755, 0, 0, snapshot.started_ns, 0, snapshot.root)


def find(root: Entry, path: bytes, trees: Trees) -> Entry | None:
    """The entry of an absolute path; None where the snapshot has none. Symlinks are not followed.

    Raises DamageError of a node on the way.
    """
    entry: Entry | None = root
    for name in filter(None, path.split(b"/")):
        if entry is None:
            return None
        entry = trees.entry(entry, name)
    return entry


def require(root: Entry, path: bytes, trees: Trees) -> Entry:
    """The entry of an absolute path. Raises PathNotFoundError, DamageError."""
    entry = find(root, path, trees)
    if entry is None:
        raise PathNotFoundError(
            f"the snapshot does not hold {shown(path)}",
            hint="`bkctl snapshot ls` shows what it holds; paths are the full ones of the source",
        )
    return entry


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
            if offset + size > entry.size:
                raise FormatError(f"{shown(entry.name)} has data beyond its size of {entry.size} bytes")
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
