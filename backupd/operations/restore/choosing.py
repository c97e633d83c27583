"""What of a snapshot is restored, and where below the target it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backupd.errors import DamageError, PathNotFoundError, UsageError
from backupd.model.results import path_fields, shown
from backupd.operations.snapshot_changes import OnDamage
from backupd.operations.snapshot_tree import Trees, find
from backupd.tree.entry import Entry, Kind

_FEW = 16
"""Up to so many names of one directory are looked up one by one."""


class Chosen:
    """One name to restore: all of it, or, where it has `children`, no more than these below it."""

    __slots__ = ("children", "entry", "name")

    def __init__(self, name: bytes, entry: Entry, children: list[Chosen] | None = None) -> None:
        self.name, self.entry, self.children = name, entry, children


class _Wish(dict[bytes, "_Wish | None"]):
    """Names wanted below a directory; None: all below that name."""


def choose_paths(root: Entry, paths: Sequence[bytes], trees: Trees, damaged: OnDamage) -> list[Chosen]:
    """The chosen paths, with the directories that lead to them.

    damaged: told of directories on the way that can't be read. Raises PathNotFoundError where the snapshot lacks one,
    AccessError where one may not be given.
    """
    wish = _Wish()
    for path in paths:
        _add(wish, [name for name in path.split(b"/") if name])
    missing: list[bytes] = []
    if not wish:
        return [Chosen(entry.name, entry) for entry in trees.entries(root)]
    found = _Resolver(trees, damaged, missing).resolve(root, wish)
    _refuse_missing(missing)
    return found


def choose_stripped(
    root: Entry, paths: Iterable[bytes], trees: Trees, damaged: OnDamage, *, may_miss: bool
) -> tuple[list[Chosen], dict[bytes, bytes]]:
    """Each path by its last name alone (of `/`, all that is in it), and the source path of each of these names.

    may_miss: whether paths that the snapshot lacks are passed over. Raises PathNotFoundError, AccessError, UsageError
    where two paths would come to lie on each other.
    """
    chosen: dict[bytes, Chosen] = {}
    origins: dict[bytes, bytes] = {}
    missing: list[bytes] = []
    for path in dict.fromkeys(paths):
        name = path.rstrip(b"/").rpartition(b"/")[2]
        try:
            entry = find(root, path, trees)
        except DamageError as error:
            damaged(path, error)
            continue
        if entry is None:
            missing.append(path)
            continue
        if not may_miss:
            trees.refuse_unreadable(entry, path)
        found = [Chosen(name, entry)] if name else [Chosen(e.name, e) for e in trees.entries(root)]
        for one in found:
            if one.name in chosen:
                raise UsageError(
                    f"without their parents, {shown(origins[one.name])} and {shown(path)} would be one",
                    hint="restore them one after the other, or leave out --strip",
                )
            chosen[one.name] = one
            origins[one.name] = path if name else b"/" + one.name
    if not may_miss or not (chosen or trees.shows_all):
        _refuse_missing(missing)
    return sorted(chosen.values(), key=lambda one: one.name), origins


def node_of(directory: Entry) -> bytes:
    """Id of a directory's top node."""
    return directory.content if isinstance(directory.content, bytes) else b""


def _add(wish: _Wish, names: list[bytes]) -> None:
    for at, name in enumerate(names):
        below = wish.get(name, wish)
        if below is None:
            return
        if at + 1 == len(names):
            wish[name] = None
        elif below is wish:
            wish[name] = wish = _Wish()
        else:
            wish = below


class _Resolver:
    def __init__(self, trees: Trees, damaged: OnDamage, missing: list[bytes]) -> None:
        self._trees, self._damaged, self._missing = trees, damaged, missing

    def resolve(self, directory: Entry, wish: _Wish) -> list[Chosen]:
        """What the tree below a directory has of what is wanted; without recursion, as paths may be deep."""
        top: list[Chosen] = []
        todo = [(directory, wish, b"", top)]
        while todo:
            directory, wish, above, chosen = todo.pop()
            try:
                found = self._look_up(directory, wish)
            except DamageError as error:
                self._damaged(above or b"/", error)
                continue
            for name, below in sorted(wish.items(), key=lambda item: item[0]):
                path = above + b"/" + name
                entry = found.get(name)
                if entry is None or (below is not None and entry.kind != Kind.DIRECTORY):
                    self._missing += [path] if below is None else _paths(below, path)
                elif below is None:
                    self._trees.refuse_unreadable(entry, path)
                    chosen.append(Chosen(name, entry))
                else:
                    deeper: list[Chosen] = []
                    chosen.append(Chosen(name, entry, deeper))
                    todo.append((entry, below, path, deeper))
        return top

    def _look_up(self, directory: Entry, wish: _Wish) -> dict[bytes, Entry]:
        if len(wish) > _FEW and self._trees.can_read(directory):
            return {entry.name: entry for entry in self._trees.entries(directory) if entry.name in wish}
        found = ((name, self._trees.entry(directory, name)) for name in wish)
        return {name: entry for name, entry in found if entry is not None}


def _paths(wish: _Wish, above: bytes) -> list[bytes]:
    found: list[bytes] = []
    todo: list[tuple[bytes, _Wish | None]] = [(above, wish)]
    while todo:
        path, below = todo.pop()
        if below is None:
            found.append(path)
        else:
            todo += [(path + b"/" + name, deeper) for name, deeper in below.items()]
    return found


def _refuse_missing(missing: list[bytes]) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise PathNotFoundError(
            f"the snapshot does not hold {shown(missing[0])}{more}",
            hint="`bkctl snapshot ls` shows what it holds; paths are the full ones of the source",
            context={"missing": [path_fields(path)["path"] for path in missing[:100]]},
        )
