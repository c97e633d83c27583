"""What differs between two directories, at the cost of what differs: nodes that both have are never loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from backupd.errors import FormatError
from backupd.tree.entry import CHANGED, Chunks, ChunkTree, Content, Entry, Extra, Kind, check
from backupd.tree.nodes import MAX_HEIGHT, Load, leaf_entries, node_references

Pair = tuple[Entry | None, Entry | None]
"""One name's entry in the older and in the newer directory; None where it is not."""

_NO_EXTRA = Extra()


class Unshared(NamedTuple):
    """Nodes that one of two directories has and the other has not, as far as that is seen level by level."""

    old_leaves: list[bytes]
    new_leaves: list[bytes]
    new_nodes: list[bytes]
    """All of the newer one, the leaves among them."""


def differing_entries(older: bytes | None, newer: bytes | None, load: Load) -> Iterator[Pair]:
    """Names whose entries are not equal, in byte order. older, newer: top nodes; None: no directory there.

    Raises DamageError of a node that can't be had.
    """
    yield from paired_entries(unshared_nodes(older, newer, load), load)


def paired_entries(unshared: Unshared, load: Load) -> Iterator[Pair]:
    """Names whose entries are not equal in what two directories do not share, in byte order. Raises DamageError."""
    old_entries, new_entries = _entries(unshared.old_leaves, load), _entries(unshared.new_leaves, load)
    old, new = next(old_entries, None), next(new_entries, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.name < new.name):
            yield old, None
            old = next(old_entries, None)
        elif old is None or new.name < old.name:
            yield None, new
            new = next(new_entries, None)
        else:
            if old != new:
                yield old, new
            old, new = next(old_entries, None), next(new_entries, None)


def has_same_content(old: Entry, new: Entry) -> bool:
    """Whether two entries are of one kind and hold the same bytes, target or device; a directory's entries don't count.

    Chunks of two scopes of deduplication can't be compared by their ids: there size and time decide.
    """
    if old.kind != new.kind or old.size != new.size:
        return False
    if old.kind == Kind.DIRECTORY:
        return True
    before, after = old.extra or _NO_EXTRA, new.extra or _NO_EXTRA
    if before.salt != after.salt and old.mtime_ns == new.mtime_ns:
        return True
    return _identity(old.content) == _identity(new.content) and before.extents == after.extents


def has_same_metadata(old: Entry, new: Entry) -> bool:
    """Whether mode, owner, times, attributes and flags are the same.

    A directory's own time follows from what was added and removed in it; the group of a hard link is only a label.
    """
    return _bare(old) == _bare(new)


def _bare(entry: Entry) -> Entry:
    extra = entry.extra or _NO_EXTRA
    kept = msgspec.structs.replace(
        extra,
        hard_link=b"" if extra.hard_link else None,
        salt=None,
        extents=None,
        state=extra.state & CHANGED,
        began_with=None,
    )
    mtime_ns = 0 if entry.kind == Kind.DIRECTORY else entry.mtime_ns
    return msgspec.structs.replace(entry, mtime_ns=mtime_ns, size=0, content=None, extra=kept)


def _identity(content: Content) -> object:
    """What names the bytes; the class that a file was cut with does not."""
    if isinstance(content, Chunks):
        return content.ids
    return content.root if isinstance(content, ChunkTree) else content


def unshared_nodes(older: bytes | None, newer: bytes | None, load: Load) -> Unshared:
    """What two directories do not share; nodes that both have are not loaded. Raises DamageError."""
    new_nodes: dict[bytes, None] = {}
    old = [older] if older is not None else []
    new = [newer] if newer is not None else []
    for _ in range(MAX_HEIGHT + 1):
        shared = set(old) & set(new)
        old = [node for node in old if node not in shared]
        new = [node for node in new if node not in shared]
        new_nodes.update(dict.fromkeys(new))
        below_old, old_grew = _expanded(old, load)
        below_new, new_grew = _expanded(new, load)
        if not old_grew and not new_grew:
            return Unshared(old, new, list(new_nodes))
        # Names ascend, so no node is twice in a directory. Where one is, each level would be longer than that above.
        if len(set(below_old)) < len(below_old) or len(set(below_new)) < len(below_new):
            raise FormatError("a directory holds a node twice")
        old, new = below_old, below_new
    raise FormatError(f"a directory's nodes are higher than {MAX_HEIGHT}")


def _expanded(nodes: list[bytes], load: Load) -> tuple[list[bytes], bool]:
    """Inner nodes replaced by their children, and whether there were any."""
    below: list[bytes] = []
    has_inner = False
    for node in nodes:
        children = node_references(load(node))
        below += children or [node]
        has_inner = has_inner or bool(children)
    return below, has_inner


def _entries(leaves: list[bytes], load: Load) -> Iterator[Entry]:
    last = b""
    for leaf in leaves:
        for entry in leaf_entries(load(leaf)):
            check(entry)
            if entry.name <= last:
                raise FormatError(f"a directory's entries are out of order at {entry.name!r}")
            last = entry.name
            yield entry
