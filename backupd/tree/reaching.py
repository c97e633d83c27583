"""All chunks that a tree reaches, at the cost of what it does not share with another tree that is known to be whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backupd.errors import DamageError
from backupd.tree.comparing import paired_entries, unshared_nodes
from backupd.tree.entry import Chunks, ChunkTree, Entry, Kind, Stored
from backupd.tree.lists import list_parts
from backupd.tree.nodes import Load


class _Below:
    """A directory to walk, and the one of that name in the base."""

    __slots__ = ("new", "old")

    def __init__(self, old: bytes | None, new: bytes) -> None:
        self.old, self.new = old, new


class Reached(NamedTuple):
    """Chunks that a tree reaches."""

    ids: bytes
    """32 bytes each."""
    lengths: list[int]
    """Plain bytes of each; 0 where the tree does not say it, as of the only chunk of a sparse file."""


_Step = Reached | _Below


class TreeReach:
    """Walks one tree. `walked` then holds the top nodes of its directories and lists that were walked."""

    def __init__(self, load: Load, proved: set[bytes]) -> None:
        """proved: top nodes of directories and lists of which all that they reach is known to be there."""
        self._load, self._proved = load, proved
        self.walked: set[bytes] = set()

    def chunks(self, root: bytes, base: bytes | None) -> Iterator[bytes]:
        """Ids of chunks, 32 bytes each, in pieces: as `reached`."""
        for piece in self.reached(root, base):
            yield piece.ids

    def reached(self, root: bytes, base: bytes | None) -> Iterator[Reached]:
        """Chunks, nodes among them, in pieces: all but what `base` and `proved` vouch for.

        base: top node of a tree of which all is there, None: of none. An id may come several times. Raises DamageError
        of a node that can't be had; of one of the base none.
        """
        if root == base:
            return
        # A stack of our own: trees may be deeper than Python's.
        stack = [self._directory(_Below(base, root))]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step, Reached):
                yield step
            else:
                stack.append(self._directory(step))

    def _is_new(self, node: bytes) -> bool:
        if node in self._proved or node in self.walked:
            return False
        self.walked.add(node)
        return True

    def _directory(self, pair: _Below) -> Iterator[_Step]:
        if not self._is_new(pair.new):
            return
        if pair.old is not None:
            try:
                yield from self._entries(pair)
            except DamageError:
                # Of the base perhaps: without it each chunk is named, and what is lost of the tree is met again.
                yield from self._entries(_Below(None, pair.new))
        else:
            yield from self._entries(pair)

    def _entries(self, pair: _Below) -> Iterator[_Step]:
        lengths: dict[bytes, int] = {}

        def measured(node: bytes) -> bytes:
            data = self._load(node)
            lengths[node] = len(data)
            return data

        unshared = unshared_nodes(pair.old, pair.new, measured)
        yield Reached(b"".join(unshared.new_nodes), [lengths[node] for node in unshared.new_nodes])
        for old, new in paired_entries(unshared, self._load):
            if new is not None:
                yield from self._entry(old, new)

    def _entry(self, old: Entry | None, new: Entry) -> Iterator[_Step]:
        content = new.content
        if new.kind == Kind.FILE:
            if isinstance(content, bytes):
                yield Reached(content, [new.size if new.extra is None or new.extra.extents is None else 0])
            elif isinstance(content, Chunks):
                yield Reached(content.ids, content.lengths)
            elif isinstance(content, ChunkTree):
                before = old.content if old is not None else None
                yield from self._list(before.root if isinstance(before, ChunkTree) else None, content.root)
        elif new.kind == Kind.DIRECTORY and isinstance(content, bytes):
            is_same_kind = old is not None and old.kind == Kind.DIRECTORY
            before = old.content if old is not None and is_same_kind else None
            if content != before:
                yield _Below(before if isinstance(before, bytes) else None, content)
        values = long_values(new)
        if values:
            yield Reached(b"".join([value.id for value in values]), [value.length for value in values])

    def _list(self, old_root: bytes | None, root: bytes) -> Iterator[Reached]:
        if root == old_root or not self._is_new(root):
            return
        old = [old_root] if old_root is not None else []
        seen, level = set(old), [root]
        while level:
            fresh = [node for node in dict.fromkeys(level) if node not in seen]
            seen.update(fresh)
            shared, level = set(level), []
            for node in fresh:
                try:
                    data = self._load(node)
                except DamageError:
                    # Who copies brings it all the same, or says why not.
                    yield Reached(node, [0])
                    raise
                yield Reached(node, [len(data)])
                children, ids, lengths = list_parts(data)
                level += children
                if ids:
                    yield Reached(ids, lengths)
            old = self._below([node for node in old if node not in shared])
            seen.update(old)

    def _below(self, nodes: list[bytes]) -> list[bytes]:
        """List nodes below others of the base; none of one that can't be had."""
        found: list[bytes] = []
        for node in nodes:
            try:
                found += list_parts(self._load(node))[0]
            except DamageError:
                continue
        return found


def long_values(entry: Entry) -> list[Stored]:
    """Long attribute values and extents of an entry, which are chunks."""
    extra = entry.extra
    if extra is None:
        return []
    values = [value for _, value in extra.xattrs or ()]
    return [value for value in (*values, extra.extents) if isinstance(value, Stored)]
