"""Walks snapshots' trees and tells which paths can't be had whole: a chunk of theirs has no good place.

Subtrees that several snapshots share are walked once: what was found whole is marked, one bit a chunk of the index.
What was not found whole is walked again for each snapshot, so that each gets its own list of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from backupd.cache.index_table import prefixes_of
from backupd.cache.index_tables import IndexTables
from backupd.errors import ChunkLostError, DamageError
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import Chunks, ChunkTree, Entry, Kind, check
from backupd.tree.lists import list_parts
from backupd.tree.nodes import Load, leaf_entries, node_references
from backupd.tree.reaching import long_values

HasMany = Callable[[bytes], bytearray]
"""For each id of 32 bytes 1 where a good place gives the chunk."""
NoteReached = Callable[[bytes, Sequence[int]], object]
"""Hears of chunks that a tree reaches: ids, 32 bytes each, and plain bytes of each, 0 where the tree says none."""


class Hit(NamedTuple):
    """A path that can't be had whole."""

    path: bytes
    is_directory: bool
    """A part of its entries can't be listed."""
    lost: bytes
    """Ids of lost chunks, 32 bytes each; empty where a node's bytes are wrong."""
    message: str
    entry: Entry | None = None
    """Of a file."""

    @property
    def size_bytes(self) -> int:
        """Of the file; 0 of what is none."""
        return self.entry.size if self.entry is not None else 0


class NodeMarks:
    """A set of chunks of the index, one bit each."""

    def __init__(self, tables: IndexTables) -> None:
        self._tables = tables.tables()
        self._bits = [bytearray() for _ in self._tables]

    def __contains__(self, chunk_id: bytes) -> bool:
        place = self._place(chunk_id)
        if place is None:
            return False
        bits = self._bits[place[0]]
        return bool(bits) and bool(bits[place[1] >> 3] >> (place[1] & 7) & 1)

    def add(self, chunk_id: bytes) -> None:
        """Mark a chunk; one that is in no table is not kept."""
        place = self._place(chunk_id)
        if place is not None:
            number, rank = place
            if not self._bits[number]:
                self._bits[number] = bytearray((len(self._tables[number]) + 7) // 8)
            self._bits[number][rank >> 3] |= 1 << (rank & 7)

    def _place(self, chunk_id: bytes) -> tuple[int, int] | None:
        prefixes = prefixes_of(chunk_id)
        for number, table in enumerate(self._tables):
            for _, rank in table.hits(chunk_id, prefixes, (0,)):
                return number, rank
        return None


class _Visit:
    """A node that is being looked at."""

    __slots__ = ("below", "entry", "id", "is_dirty", "is_list", "path")

    def __init__(self, node_id: bytes, path: bytes, is_list: bool, entry: Entry | None = None) -> None:
        self.id, self.path, self.is_list, self.entry = node_id, path, is_list, entry
        self.below: Iterator[_Visit] | None = None
        self.is_dirty = False


class TreeCheck:
    """Walks any number of trees; not for several threads at once."""

    def __init__(
        self, load: Load, has_many: HasMany, tables: IndexTables, note: NoteReached = lambda ids, lengths: None
    ) -> None:
        """note: hears of each chunk, nodes among them, before the first tree that reaches it has been walked."""
        self._load, self._has_many, self._note = load, has_many, note
        self._whole = NodeMarks(tables)
        self._found: list[Hit] = []
        self.entry_count = 0
        """Entries looked at."""

    def walk(self, root: bytes) -> Iterator[Hit | None]:
        """What can't be had of the tree under a root node; None now and then, so that the caller can do other things.

        Depth first with a stack of our own: trees may be deeper than Python's.
        """
        stack = [_Visit(root, b"/", False)] if root not in self._whole else []
        while stack:
            visit = stack[-1]
            if visit.below is None:
                visit.below = iter(self._open(visit))
                yield from self._found or (None,)
                self._found.clear()
            below = next(visit.below, None)
            if below is not None:
                if below.id not in self._whole:
                    stack.append(below)
                continue
            stack.pop()
            if not visit.is_dirty:
                self._whole.add(visit.id)
            elif stack:
                stack[-1].is_dirty = True

    def _open(self, visit: _Visit) -> list[_Visit]:
        """Look at one node; gives the nodes below it."""
        try:
            data = self._load(visit.id)
            if visit.is_list:
                return self._open_list(visit, data)
            entries = leaf_entries(data)
            for entry in entries:
                check(entry)
        except DamageError as error:
            lost = visit.id if isinstance(error, ChunkLostError) else b""
            self._hit(visit, visit.path, not visit.is_list, lost, error.message)
            return []
        self._note(visit.id, [len(data)])
        if not entries:
            return [_Visit(node, visit.path, False) for node in node_references(data)]
        return self._open_leaf(visit, entries)

    def _open_list(self, visit: _Visit, data: bytes) -> list[_Visit]:
        nodes, ids, lengths = list_parts(data)
        self._note(visit.id + ids, [len(data), *lengths])
        lost = self._lost(ids)
        if lost:
            self._hit(visit, visit.path, False, lost, "")
        return [_Visit(node, visit.path, True, visit.entry) for node in nodes]

    def _open_leaf(self, visit: _Visit, entries: list[Entry]) -> list[_Visit]:
        self.entry_count += len(entries)
        directory = visit.path if visit.path == b"/" else visit.path + b"/"
        below: list[_Visit] = []
        ids = bytearray()
        lengths: list[int] = []
        ends: list[int] = []
        for entry in entries:
            content = entry.content
            if entry.kind == Kind.FILE:
                if isinstance(content, bytes):
                    ids += content
                    lengths.append(entry.size if entry.extra is None or entry.extra.extents is None else 0)
                elif isinstance(content, Chunks):
                    ids += content.ids
                    lengths += content.lengths
                elif isinstance(content, ChunkTree):
                    below.append(_Visit(content.root, directory + entry.name, True, entry))
            elif entry.kind == Kind.DIRECTORY and is_too_deep(directory + entry.name):
                self._hit(visit, directory + entry.name, True, b"", TOO_DEEP)
            elif entry.kind == Kind.DIRECTORY and isinstance(content, bytes):
                below.append(_Visit(content, directory + entry.name, False))
            if entry.extra is not None:
                values = long_values(entry)
                ids += b"".join([value.id for value in values])
                lengths += [value.length for value in values]
            ends.append(len(ids))
        if ids:
            self._note(bytes(ids), lengths)
            present = self._has_many(bytes(ids))
            if not all(present):
                self._report(visit, directory, entries, bytes(ids), ends)
        return below

    def _report(self, visit: _Visit, directory: bytes, entries: list[Entry], ids: bytes, ends: list[int]) -> None:
        start = 0
        for entry, end in zip(entries, ends, strict=True):
            lost = self._lost(ids[start:end])
            if lost:
                self._hit(visit, directory + entry.name, False, lost, "", entry)
            start = end

    def _lost(self, ids: bytes) -> bytes:
        if not ids:
            return b""
        present = self._has_many(ids)
        if all(present):
            return b""
        return b"".join([ids[32 * at : 32 * at + 32] for at, is_there in enumerate(present) if not is_there])

    def _hit(
        self,
        visit: _Visit,
        path: bytes,
        is_directory: bool,
        lost: bytes,
        message: str,
        entry: Entry | None = None,
    ) -> None:
        visit.is_dirty = True
        self._found.append(Hit(path, is_directory, lost, message, entry or visit.entry))
