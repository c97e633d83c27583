"""A tree without some of its paths: only the directories on the way to them are made anew, of these only what changes.

What is not left out keeps its very bytes, so all nodes but those on the way have the ids that they had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from backupd.errors import FormatError, NewerVersionError
from backupd.tree.comparing import unshared_nodes
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import Entry, Kind, check, encode
from backupd.tree.nodes import Load, NodeBuilder, Store, array_head, find_entry, leaf_entries

_Below = dict[bytes, "_Step"]


class _Step(msgspec.Struct):
    """One name on the way to what is left out."""

    path: bytes
    below: _Below = {}
    is_left_out: bool = False


class _Visited(msgspec.Struct):
    """A directory on the way that is there."""

    node: bytes
    name: bytes
    above: int
    """Number of the one that it lies in; -1: none."""
    gone: set[bytes] = set()
    changed: dict[bytes, bytes] = {}
    """New top node by name of a directory in it."""


class Omission:
    """Leaves out the same paths of any number of trees."""

    def __init__(self, hash_key: bytes, paths: Iterable[bytes]) -> None:
        """hash_key: `chunk.identity.node_key`. paths: absolute, without `.`, `..` and empty names; not `/` itself."""
        self._hash_key = hash_key
        self.paths = outermost(paths)
        self._top = _Step(b"")
        for path in self.paths:
            step = self._top
            for name in path.split(b"/")[1:]:
                step = step.below.setdefault(name, _Step(step.path + b"/" + name))
            step.is_left_out = True

    def apply(self, root: bytes, load: Load, store: Store) -> tuple[bytes, list[tuple[bytes, Entry]]]:
        """(top node of the tree without the paths, what was left out: path and entry); the same node where nothing was.

        root: of a tree that stands for `/`. store: is given new nodes, each after those below it.
        Raises DamageError of a node that can't be had, FormatError, NewerVersionError where an entry has parts that
        would be lost.
        """
        visited, found = self._visit(root, load)
        if not found:
            return root, []
        for number in reversed(range(len(visited))):
            one = visited[number]
            if not one.gone and not one.changed:
                continue
            node = self._rebuilt(one, load, store)
            if one.above < 0:
                return node, found
            visited[one.above].changed[one.name] = node
        raise AssertionError("what was found lies in the top directory or below it")

    def _visit(self, root: bytes, load: Load) -> tuple[list[_Visited], list[tuple[bytes, Entry]]]:
        """Directories on the way, each after the one that it lies in; and the entries that are to go."""
        visited = [_Visited(root, b"", -1, set(), {})]
        waiting = [(0, self._top)]
        found: list[tuple[bytes, Entry]] = []
        while waiting:
            number, step = waiting.pop()
            for name, below in step.below.items():
                entry = find_entry(visited[number].node, name, load)
                if entry is None:
                    continue
                if below.is_left_out:
                    visited[number].gone.add(name)
                    found.append((below.path, entry))
                elif entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                    if is_too_deep(below.path):
                        raise FormatError(f"{below.path!r} {TOO_DEEP}")
                    visited.append(_Visited(entry.content, name, number, set(), {}))
                    waiting.append((len(visited) - 1, below))
        return visited, found

    def _rebuilt(self, one: _Visited, load: Load, store: Store) -> bytes:
        builder = NodeBuilder(self._hash_key, store)
        for entry, encoded in entries_as_stored(one.node, load):
            if entry.name in one.gone:
                continue
            node = one.changed.get(entry.name)
            kept = encoded if node is None else encode(msgspec.structs.replace(entry, content=node))
            builder.add(entry.name, kept)
        return builder.finish()


def outermost(paths: Iterable[bytes]) -> list[bytes]:
    """In order, without those that lie below another one."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=lambda path: path.split(b"/")):
        if not kept or not covers(kept[-1:], path):
            kept.append(path)
    return kept


def covers(paths: Sequence[bytes], path: bytes) -> bool:
    """Whether a path is one of these or lies below one."""
    return any(path == one or path.startswith(one + b"/") for one in paths)


def entries_as_stored(node: bytes, load: Load) -> Iterator[tuple[Entry, bytes]]:
    """Entries of a directory in order, each with its bytes as they are stored; for who writes the directory anew.

    Raises DamageError of a node that can't be had, FormatError, NewerVersionError where an entry has parts that would
    be lost.
    """
    last = b""
    for leaf in unshared_nodes(None, node, load).new_leaves:
        data = load(leaf)
        entries = leaf_entries(data)
        encoded = [encode(entry) for entry in entries]
        if bytes((0x92, 1)) + array_head(len(encoded)) + b"".join(encoded) != data:
            raise NewerVersionError(
                "a directory on the way has entries with parts that this version does not know",
                hint="install the newer backupd that wrote them; until then nothing is written anew",
            )
        for entry, its in zip(entries, encoded, strict=True):
            check(entry)
            if entry.name <= last:
                raise FormatError(f"a directory's entries are out of order at {entry.name!r}")
            last = entry.name
            yield entry, its
