"""What a tree reaches beyond another one, against all that it reaches."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from backupd.errors import ChunkLostError
from backupd.tree.entry import Entry, Extra, Kind, Stored, encode
from backupd.tree.lists import make_content
from backupd.tree.nodes import NodeBuilder
from backupd.tree.reaching import TreeReach

Files = dict[bytes, "bytes | Files | int"]
"""Content of a file; a directory; a large file of so many chunks."""


class Chunks:
    """Chunks by id."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.loaded: list[bytes] = []

    def store(self, data: bytes) -> bytes:
        """Keep a node."""
        chunk_id = blake3(data).digest()
        self.data[chunk_id] = data
        return chunk_id

    def load(self, chunk_id: bytes) -> bytes:
        """Give a node."""
        self.loaded.append(chunk_id)
        if chunk_id not in self.data:
            raise ChunkLostError("lost")
        return self.data[chunk_id]

    def tree(self, files: Files) -> bytes:
        """Store a directory."""
        builder = NodeBuilder(bytes(32), self.store)
        for name in sorted(files):
            builder.add(name, encode(self._entry(name, files[name])))
        return builder.finish()

    def above(self, directories: dict[bytes, bytes]) -> bytes:
        """Store a directory of others that are stored."""
        builder = NodeBuilder(bytes(32), self.store)
        for name in sorted(directories):
            builder.add(name, encode(Entry(name, Kind.DIRECTORY, 0o755, 0, 0, 0, 0, directories[name])))
        return builder.finish()

    def _entry(self, name: bytes, what: bytes | Files | int) -> Entry:
        if isinstance(what, dict):
            return Entry(name, Kind.DIRECTORY, 0o755, 0, 0, 0, 0, self.tree(what))
        if isinstance(what, int):
            ids = b"".join(blake3(name + b"%d" % at).digest() for at in range(what))
            return Entry(name, Kind.FILE, 0, 0, 0, 0, what, make_content(14, ids, array("I", [1] * what), self.store))
        extra = Extra(xattrs=[(b"user.a", Stored(blake3(b"value" + what).digest(), 600))]) if what[:1] == b"x" else None
        return Entry(name, Kind.FILE, 0, 0, 0, 0, len(what), blake3(what).digest(), extra)


def reached(walk: TreeReach, root: bytes, base: bytes | None) -> set[bytes]:
    """All ids as a set."""
    joined = b"".join(walk.chunks(root, base))
    return {joined[at : at + 32] for at in range(0, len(joined), 32)}


_names = st.binary(min_size=1, max_size=2).filter(lambda name: b"/" not in name and b"\0" not in name and name != b".")
_leaves = st.binary(max_size=3) | st.integers(257, 600)
trees: Callable[[], st.SearchStrategy[Files]] = lambda: st.dictionaries(  # noqa: E731
    _names.filter(lambda name: name != b".."),
    st.recursive(_leaves, lambda below: st.dictionaries(_names.filter(lambda n: n != b".."), below, max_size=4)),
    max_size=5,
)


@given(trees(), trees(), st.booleans())
def test_base_and_difference_are_all(older: Files, newer: Files, is_subset: bool) -> None:
    """A chunk that neither the base reaches nor the walk names would be missing at the other place for ever."""
    chunks = Chunks()
    if is_subset:
        newer = {**older, **newer}
    base, root = chunks.tree(older), chunks.tree(newer)
    whole, of_base = (reached(TreeReach(chunks.load, set()), one, None) for one in (root, base))
    walk = TreeReach(chunks.load, set())
    named = reached(walk, root, base)
    assert named | of_base >= whole
    assert named <= whole
    # What was walked vouches for itself afterwards.
    assert not reached(TreeReach(chunks.load, walk.walked), root, None) - whole
    assert reached(TreeReach(chunks.load, set()), root, root) == set()


def test_the_shared_is_not_loaded() -> None:
    """Else each night's copy of a small change reads the trees of a million files over the line."""
    chunks = Chunks()
    many: Files = {b"%04d" % number: b"%d" % number for number in range(3000)}
    older: Files = {b"many": many, b"other": {b"a": b"1"}, b"large": 5000}
    base, root = chunks.tree(older), chunks.tree({**older, b"other": {b"a": b"2"}})
    chunks.loaded.clear()
    assert len(reached(TreeReach(chunks.load, set()), root, base)) == 3
    assert len(chunks.loaded) < 12


def test_a_base_that_can_not_be_read_costs_a_whole_walk_and_nothing_else() -> None:
    """The base may be damaged at the one place while the snapshot is whole."""
    chunks = Chunks()
    base, root = chunks.tree({b"d": {b"a": b"1"}, b"l": 700}), chunks.tree({b"d": {b"a": b"2"}, b"l": 701})
    whole = reached(TreeReach(chunks.load, set()), root, None)
    kept = {chunk_id: data for chunk_id, data in chunks.data.items() if chunk_id in whole}
    chunks.data = kept
    assert reached(TreeReach(chunks.load, set()), root, base) == whole
