"""Walking what was chosen, entry by entry in byte order, without recursion: trees may be deeper than Python's stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from backupd.errors import DamageError, FormatError
from backupd.operations.restore.choosing import Chosen
from backupd.operations.snapshot_tree import Trees
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import ANCESTOR, Entry, Kind


class Visitor(Protocol):
    """What is told of each entry. Paths are relative to the target, b"" being the target itself."""

    def enter(self, path: bytes, entry: Entry, is_passage: bool) -> bool:
        """A directory begins; false: leave out what is below. is_passage: only the way to what is restored."""
        ...

    def leaf(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """What is no directory. name: under which it is restored."""
        ...

    def withheld(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """What the order's caller could not have read; a directory is not entered."""
        ...

    def leave(self, path: bytes) -> None:
        """A directory that was entered ends."""
        ...

    def damaged(self, path: bytes, error: DamageError) -> None:
        """The rest of a directory can't be had."""
        ...


_Below = Iterator[Entry] | Iterator[Chosen]


def walk(chosen: Iterable[Entry] | Iterable[Chosen], trees: Trees, visitor: Visitor) -> None:
    """Tell the visitor of all that was chosen. Visitors raise no DamageError."""
    top: _Below = iter(chosen)  # type: ignore[assignment]
    stack: list[tuple[bytes, _Below]] = [(b"", top)]
    gives_all = trees.shows_all
    while stack:
        path, below = stack[-1]
        deeper = None
        try:
            for one in below:
                if isinstance(one, Entry):
                    name, entry, children = one.name, one, None
                else:
                    name, entry, children = one.name, one.entry, one.children
                if not gives_all and children is None and not trees.can_read(entry):
                    visitor.withheld(path, name, entry)
                    continue
                if entry.kind != Kind.DIRECTORY:
                    visitor.leaf(path, name, entry)
                    continue
                inner = path + b"/" + name if path else name
                if is_too_deep(inner):
                    visitor.damaged(inner, FormatError(TOO_DEEP))
                    continue
                if visitor.enter(inner, entry, children is not None or _is_ancestor(entry)):
                    deeper = inner, iter(children) if children is not None else trees.entries(entry)
                    break
        except DamageError as error:
            visitor.damaged(path, error)
        if deeper is not None:
            stack.append(deeper)
            continue
        stack.pop()
        if stack:
            visitor.leave(path)


def _is_ancestor(entry: Entry) -> bool:
    return entry.extra is not None and bool(entry.extra.state & ANCESTOR)
