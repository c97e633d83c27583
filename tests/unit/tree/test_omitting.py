"""Trees without some paths: what is not left out has to be the very tree that it was."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from backupd.errors import NewerVersionError
from backupd.tree.entry import Entry, Kind, encode
from backupd.tree.nodes import NodeBuilder, iterate_entries
from backupd.tree.omitting import Omission, covers, outermost
from tests.unit.tree.test_comparing import Shelf, file

Tree = dict[bytes, Any]
"""Names; a number stands for a file, a map for a directory."""


def store(shelf: Shelf, tree: Tree) -> bytes:
    """Top node of a tree."""
    builder = NodeBuilder(bytes(32), shelf.store)
    for name in sorted(tree):
        what = tree[name]
        if isinstance(what, dict):
            entry = file(name, kind=Kind.DIRECTORY, mtime_ns=7, content=store(shelf, what))
        else:
            entry = file(name, mtime_ns=what)
        builder.add(name, encode(entry))
    return builder.finish()


def without(tree: Tree, path: bytes) -> Tree:
    """By taking it out of the map."""
    name, _, rest = path[1:].partition(b"/")
    what = tree.get(name)
    if not rest:
        return {one: below for one, below in tree.items() if one != name}
    return {**tree, name: without(what, b"/" + rest)} if isinstance(what, dict) else tree


def paths_of(tree: Tree, above: bytes = b"") -> list[bytes]:
    """All of it."""
    found = []
    for name, what in tree.items():
        found += [above + b"/" + name, *(paths_of(what, above + b"/" + name) if isinstance(what, dict) else [])]
    return found


def any_tree(random: Random, depth: int) -> Tree:
    """A directory of some, or many, entries."""
    count = random.choice([0, 1, 3, 10, 300])
    names = {random.randbytes(random.randrange(1, 5)).replace(b"/", b"_").replace(b"\0", b"_") for _ in range(count)}
    return {
        name: any_tree(random, depth - 1) if depth and random.random() < 0.05 else random.randrange(1 << 40)
        for name in names - {b".", b".."}
    }


def test_it_is_the_tree_that_a_backup_without_the_paths_would_have_made() -> None:
    """Else each node of the new snapshot is a new one, and what was not named may be another."""
    random = Random(5)
    for _ in range(60):
        tree = {b"home": any_tree(random, 3), b"etc": any_tree(random, 1), b"a": 1}
        every = paths_of(tree)
        chosen = random.sample(every, min(len(every), random.randrange(1, 5)))
        shelf = Shelf()
        root = store(shelf, tree)
        made, left_out = Omission(bytes(32), [*chosen, b"/nobody/has/this"]).apply(root, shelf.load, shelf.store)
        expected = tree
        for path in chosen:
            expected = without(expected, path)
        assert made == store(Shelf(), expected)
        assert sorted(path for path, _ in left_out) == sorted(outermost(chosen))


def test_of_a_large_directory_only_what_changes_is_new() -> None:
    """Else one path costs the whole directory once more, in each snapshot."""
    shelf = Shelf()
    tree: Tree = {b"many": {b"%06d" % number: number for number in range(30_000)}, b"other": {b"x": 1}}
    root = store(shelf, tree)
    before, new = set(shelf.nodes), []

    def keep(node: bytes) -> bytes:
        name = shelf.store(node)
        new.extend([name] if name not in before else [])
        return name

    shelf.loaded = 0
    Omission(bytes(32), [b"/many/012345"]).apply(root, shelf.load, keep)
    assert len(new) <= 4
    shelf.loaded = 0
    nothing = Omission(bytes(32), [b"/many/nothing", b"/other/x/y", b"/other/y"])
    assert nothing.apply(root, shelf.load, keep) == (root, [])
    assert shelf.loaded < 10


def test_what_a_newer_version_wrote_is_not_written_anew() -> None:
    """Else parts of entries that only the newer one knows are lost without a word."""
    shelf = Shelf()
    more = msgspec.msgpack.decode(encode(file(b"b")))
    encoded = [encode(file(b"a")), msgspec.msgpack.encode([*more, None, b"of a later day"])]
    builder = NodeBuilder(bytes(32), shelf.store)
    for name, one in zip((b"a", b"b"), encoded, strict=True):
        builder.add(name, one)
    root = builder.finish()
    assert [entry.name for entry in iterate_entries(root, shelf.load)] == [b"a", b"b"]
    with pytest.raises(NewerVersionError):
        Omission(bytes(32), [b"/a"]).apply(root, shelf.load, shelf.store)


def test_a_file_is_no_directory_on_the_way() -> None:
    shelf = Shelf()
    root = store(shelf, {b"a": 1, b"b": {}})
    assert Omission(bytes(32), [b"/a/b", b"/b/c"]).apply(root, shelf.load, shelf.store) == (root, [])


def test_paths_below_others_are_theirs() -> None:
    """And one that only begins alike is not below it."""
    assert outermost([b"/a/b", b"/a-b", b"/a", b"/a b/c", b"/a/b/c"]) == [b"/a", b"/a b/c", b"/a-b"]
    assert covers([b"/a"], b"/a/b")
    assert covers([b"/a"], b"/a")
    assert not covers([b"/a"], b"/ab")


def test_the_last_entry_leaves_an_empty_directory() -> None:
    shelf = Shelf()
    root = store(shelf, {b"a": {b"b": 1}})
    made, left_out = Omission(bytes(32), [b"/a/b"]).apply(root, shelf.load, shelf.store)
    assert made == store(shelf, {b"a": {}})
    assert [type(entry) for _, entry in left_out] == [Entry]
