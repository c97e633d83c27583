"""Versions of files that a later tree has not, against a count of all paths."""

from __future__ import annotations

from hypothesis import given, settings

from backupd.tree.reaching import TreeReach
from backupd.tree.versions import Versions, versions_beyond
from tests.unit.tree.test_reaching import Chunks, Files, trees


def _paths(files: Files, above: bytes = b"") -> dict[bytes, bytes | int]:
    found: dict[bytes, bytes | int] = {}
    for name, what in files.items():
        found |= _paths(what, above + name + b"/") if isinstance(what, dict) else {above + name: what}
    return found


def _size(what: bytes | int) -> int:
    return what if isinstance(what, int) else len(what)


@settings(max_examples=25)
@given(trees(), trees(), trees())
def test_all_that_differs_by_path(older: Files, newer: Files, twice: Files) -> None:
    """A directory that is there twice, with all its times, holds its files twice."""
    chunks = Chunks()
    older, newer = {**older, b"x1": twice, b"x2": twice}, {**newer, b"x1": twice, b"x3": older}
    before, after = _paths(older), _paths(newer)
    former = [what for path, what in before.items() if path not in after or after[path] != what]
    found = versions_beyond(chunks.tree(older), chunks.tree(newer), chunks.load)
    assert found == Versions(len(former), sum(map(_size, former)))
    assert versions_beyond(chunks.tree(older), None, chunks.load).files == len(before)


def test_a_directory_that_stands_in_itself_many_times_is_read_once() -> None:
    """Thirty levels of two would be a billion directories."""
    chunks = Chunks()
    assert versions_beyond(_tree(chunks, 30), None, chunks.load) == Versions(2**30, 2**30)
    assert len(chunks.loaded) < 200


def _tree(chunks: Chunks, levels: int) -> bytes:
    files: Files = {b"a": b"1"}
    root = chunks.tree(files)
    for _ in range(levels):
        root = chunks.above({b"l": root, b"r": root})
    return root


def test_lengths_of_what_is_reached() -> None:
    """Shares go by them: a wrong one promises space that nobody gets back."""
    chunks = Chunks()
    root = chunks.tree({b"small": b"123", b"x": b"xyz", b"large": 600, b"d": {b"deep": b"12345"}})
    lengths: dict[bytes, int] = {}
    for piece in TreeReach(chunks.load, set()).reached(root, None):
        assert len(piece.ids) == 32 * len(piece.lengths)
        for at, length in enumerate(piece.lengths):
            lengths[piece.ids[32 * at : 32 * at + 32]] = length
    assert {node: lengths[node] for node in chunks.data} == {node: len(data) for node, data in chunks.data.items()}
    leaves = sorted(length for chunk_id, length in lengths.items() if chunk_id not in chunks.data)
    assert leaves == sorted([3, 3, 600, 5] + [1] * 600)
