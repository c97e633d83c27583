"""How many versions of files a directory has that another one has not: what a later snapshot changed or removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backupd.tree.comparing import differing_entries
from backupd.tree.entry import Entry, Kind
from backupd.tree.nodes import Load


class Versions(NamedTuple):
    """Files, and what they hold."""

    files: int
    source_bytes: int


_Pair = tuple[bytes | None, bytes]


class _Level:
    """A directory under way."""

    __slots__ = ("bytes", "files", "pair", "rest")

    def __init__(self, pair: _Pair, rest: Iterator[tuple[Entry | None, Entry | None]]) -> None:
        self.pair, self.rest = pair, rest
        self.files = self.bytes = 0


def versions_beyond(root: bytes, later: bytes | None, load: Load) -> Versions:
    """Files of a tree whose entries the later tree has otherwise, or not at all.

    later: None: no tree. At the cost of what they do not share; directories that are twice in a tree are read once.
    Raises DamageError of a node that can't be had.
    """
    known: dict[_Pair, Versions] = {}
    # A stack of our own: trees may be deeper than Python's.
    stack = [_Level((later, root), differing_entries(later, root, load))]
    while True:
        level = stack[-1]
        step = next(level.rest, None)
        if step is None:
            found = known[level.pair] = Versions(level.files, level.bytes)
            stack.pop()
            if not stack:
                return found
            _add(stack[-1], found)
            continue
        old, new = step
        if new is None:
            continue
        if new.kind == Kind.FILE:
            _add(level, Versions(1, new.size))
        elif new.kind == Kind.DIRECTORY and isinstance(new.content, bytes):
            pair = (_directory(old), new.content)
            if pair in known:
                _add(level, known[pair])
            elif pair[0] != pair[1]:
                stack.append(_Level(pair, differing_entries(*pair, load)))


def _add(level: _Level, found: Versions) -> None:
    level.files += found.files
    level.bytes += found.source_bytes


def _directory(entry: Entry | None) -> bytes | None:
    is_one = entry is not None and entry.kind == Kind.DIRECTORY
    return entry.content if is_one and entry is not None and isinstance(entry.content, bytes) else None
