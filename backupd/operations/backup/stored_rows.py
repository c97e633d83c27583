"""What the cache does not hold comes from the newest snapshot's tree at the destination (docs/decisions/0047)."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Collection, Iterator

from backupd.cache.file_cache import STALE, CachedDirectory, FileCache, PieceRef, Row
from backupd.cache.no_file_cache import NO_CACHE
from backupd.errors import DamagedCacheError, DamageError, ObjectMissingError
from backupd.operations.backup.lineage import Fitness
from backupd.operations.backup.walk_rules import Caches
from backupd.source.signature import shape_of
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Kind
from backupd.tree.nodes import Load, find_entry, iterate_entries

_KEPT_NODES = 50_000
_ALL = PieceRef(b"", b"", 0, 0, b"")

def small_files_bare(min_bytes: int) -> Callable[[Row], Row]:
    """What is kept of a row: of a small file, which has one name, not what is stored of it."""

    def bare(row: Row) -> Row:
        shape = shape_of(row.signature)
        if shape is None:
            return row
        mode, size, links = shape
        is_small = modes.S_ISREG(mode) and size < min_bytes and links == 1
        return Row(row.name, row.signature, b"") if is_small else row

    return bare


def entries_in(load: Load) -> Callable[[bytes, Collection[bytes]], dict[bytes, bytes]]:
    """Gives encoded entries of a directory, by its top node and their names. Raises DamagedCacheError."""

    def find(node: bytes, names: Collection[bytes]) -> dict[bytes, bytes]:
        wanted, last = frozenset(names), max(names)
        found: dict[bytes, bytes] = {}
        try:
            for entry in iterate_entries(node, load, min(names)):
                if entry.name > last:
                    break
                if entry.name in wanted:
                    found[entry.name] = entries.encode(entry)
        except (DamageError, ObjectMissingError) as error:
            raise DamagedCacheError(f"a directory of the last snapshot can't be read: {error.message}") from error
        return found

    return find


class StoredRows(Caches, frozen=True, kw_only=True, dict=True):
    """In place of caches: entries as the newest snapshot has them, none of which is trusted.

    Every file is read; how it was cut and named is as it was, so that the same is stored as with a cache.
    """

    root: bytes
    """Top node of the newest complete snapshot; empty: there is none."""
    load: Load
    warn: Callable[[str], None]
    fitness: Fitness | None
    """Of a migration: what is not stored as it would be now counts as unknown."""
    nodes: dict[bytes, bytes]
    """Of directories that were met in the last ones that were read; empty to begin with."""

    def directory(self, path: bytes) -> tuple[FileCache, CachedDirectory, bool] | None:
        """One stretch, of which nothing is clean."""
        if not self._node(path):
            return None
        return NO_CACHE, CachedDirectory(b"", [_ALL], 0, 0, True), False

    def counts(self, path: bytes) -> tuple[int, int] | None:
        """(files, bytes) below a directory, None where the snapshot has none there."""
        node = self._node(path)
        if not node:
            return None
        files = size = 0
        waiting = [node]
        while waiting:
            for entry in self._entries(path, waiting.pop(), b""):
                if entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                    waiting.append(entry.content)
                else:
                    files, size = files + 1, size + entry.size * (entry.kind == Kind.FILE)
        return files, size

    def rows(self, path: bytes, low: bytes, high: bytes | None) -> dict[bytes, Row]:
        """Rows of a directory from `low` to before `high`."""
        found: dict[bytes, Row] = {}
        top = path.rstrip(b"/") + b"/"
        for entry in self._entries(path, self._node(path), low):
            if high is not None and entry.name >= high:
                break
            if entry.name < low:
                continue
            if entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                if len(self.nodes) >= _KEPT_NODES:
                    self.nodes.clear()
                self.nodes[top + entry.name] = entry.content
            is_well = self.fitness is None or self.fitness.is_well(entry)
            found[entry.name] = Row(entry.name, b"" if is_well else STALE, entries.encode(entry))
        return found

    def _node(self, path: bytes) -> bytes:
        """Top node of a directory, empty where the snapshot has none there."""
        # No recursion: trees are deeper than Python's stack.
        steps: list[bytes] = []
        while path != b"/" and path not in self.nodes:
            path, name = os.path.split(path)
            steps.append(name)
        node = self.root if path == b"/" else self.nodes[path]
        while steps and node:
            node = self._node_in(path, node, steps[-1])
            path = path.rstrip(b"/") + b"/" + steps.pop()
        return node

    def _node_in(self, path: bytes, node: bytes, name: bytes) -> bytes:
        try:
            found = find_entry(node, name, self.load)
        except (DamageError, ObjectMissingError) as error:
            self._tell(path, error)
            return b""
        is_directory = found is not None and found.kind == Kind.DIRECTORY
        return found.content if found is not None and is_directory and isinstance(found.content, bytes) else b""

    def _entries(self, path: bytes, node: bytes, first: bytes) -> Iterator[Entry]:
        if not node:
            return
        try:
            yield from iterate_entries(node, self.load, first)
        except (DamageError, ObjectMissingError) as error:
            self._tell(path, error)

    def _tell(self, path: bytes, error: DamageError | ObjectMissingError) -> None:
        self.warn(f"what the last snapshot has of {os.fsdecode(path)!r} can't be read: {error.message}")
