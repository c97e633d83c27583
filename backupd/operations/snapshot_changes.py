"""What changed between two trees, path by path; equal subtrees are passed over without being loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from backupd.errors import DamageError, FormatError
from backupd.operations.snapshot_tree import Trees, join
from backupd.tree.comparing import Pair, has_same_content, has_same_metadata
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import Entry, Kind

ChangeKind = Literal["added", "removed", "changed", "metadata"]
OnDamage = Callable[[bytes, DamageError], None]
"""Takes a directory that can't be compared and why."""


class Change(NamedTuple):
    """One path that differs."""

    path: bytes
    kind: ChangeKind
    before: Entry | None
    after: Entry | None


def walk_changes(
    path: bytes, before: Entry | None, after: Entry | None, trees: Trees, damaged: OnDamage
) -> Iterator[Change]:
    """All changes at and below a path, a directory before what is in it.

    before, after: the entries of that path in the older and the newer tree. A directory that is damaged on either side
    is told to `damaged` and passed over.
    """
    change = _judge(path, before, after)
    if change is not None:
        yield change
    open_directories: list[tuple[bytes, Iterator[Pair]]] = [(path, trees.differing(before, after))]
    while open_directories:
        path, pairs = open_directories[-1]
        try:
            pair = next(pairs, None)
        except DamageError as error:
            damaged(path, error)
            pair = None
        if pair is None:
            open_directories.pop()
            continue
        entry = pair[1] or pair[0]
        if entry is None:
            continue
        name = join(path, entry.name)
        change = _judge(name, *pair)
        if change is not None:
            yield change
        if not (_is_directory(pair[0]) or _is_directory(pair[1])):
            continue
        if is_too_deep(name):
            damaged(name, FormatError(TOO_DEEP))
        else:
            open_directories.append((name, trees.differing(*pair)))


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == Kind.DIRECTORY


def _judge(path: bytes, before: Entry | None, after: Entry | None) -> Change | None:
    if before is None or after is None:
        if before is after:
            return None
        return Change(path, "added" if before is None else "removed", before, after)
    if not has_same_content(before, after):
        return Change(path, "changed", before, after)
    return None if has_same_metadata(before, after) else Change(path, "metadata", before, after)
