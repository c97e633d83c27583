"""What a freeing remembers of trees is what they reach: else its second look takes for dead what is needed."""

from __future__ import annotations

from itertools import chain
from random import Random

import pytest

from backupd.errors import ChunkLostError
from backupd.operations.freeing import walking
from backupd.operations.freeing.walking import WalkedTrees
from backupd.tree.reaching import Reached, TreeReach
from tests.unit.tree.test_reaching import Chunks, Files


def _drawn(seed: int) -> Files:
    drawn = Random(seed)
    files: Files = {b"%d" % number: drawn.randbytes(3) for number in range(200)}
    return {**files, b"large": 300 + seed, b"d": {b"below": drawn.randbytes(9), b"same": b"x1"}}


def _pairs(pieces: list[Reached]) -> list[tuple[bytes, int]]:
    ids = b"".join(piece.ids for piece in pieces)
    lengths = list(chain.from_iterable(piece.lengths for piece in pieces))
    return [(ids[32 * at : 32 * at + 32], length) for at, length in enumerate(lengths)]


@pytest.mark.parametrize("batch", [1, 100, 1 << 15])
def test_the_second_time_no_node_is_read(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(walking, "BATCH_CHUNKS", batch)
    chunks = Chunks()
    old, new = chunks.tree(_drawn(1)), chunks.tree(_drawn(2))
    trees = WalkedTrees()
    for root, base in ((new, None), (old, new), (new, old), (old, None)):
        expected = _pairs(list(TreeReach(chunks.load, set()).reached(root, base)))
        assert _pairs(list(trees.reached(root, base, chunks.load))) == expected != []
        chunks.loaded.clear()
        assert _pairs(list(trees.reached(root, base, chunks.load))) == expected
        assert chunks.loaded == []


def test_what_has_no_room_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees of millions of files must not fill the memory, and a part of one is not all that it reaches."""
    chunks = Chunks()
    small, large = chunks.tree({b"a": b"1"}), chunks.tree(_drawn(3))
    monkeypatch.setattr(walking, "_KEPT_CHUNKS", 20)
    trees = WalkedTrees()
    for root, is_kept in ((large, False), (small, True)):
        expected = _pairs(list(TreeReach(chunks.load, set()).reached(root, None)))
        for _ in range(2):
            chunks.loaded.clear()
            assert _pairs(list(trees.reached(root, None, chunks.load))) == expected
        assert (chunks.loaded == []) == is_kept


def test_a_tree_that_could_not_be_read_is_not_remembered() -> None:
    chunks = Chunks()
    root = chunks.tree(_drawn(4))
    below = chunks.tree({b"below": Random(4).randbytes(9), b"same": b"x1"})
    trees, lost = WalkedTrees(), None
    for node in [one for one in chunks.data if one not in (root, below)]:
        lost = node
        data = chunks.data.pop(node)
        with pytest.raises(ChunkLostError):
            list(trees.reached(root, None, chunks.load))
        chunks.data[node] = data
    assert lost is not None
    assert _pairs(list(trees.reached(root, None, chunks.load))) == _pairs(
        list(TreeReach(chunks.load, set()).reached(root, None))
    )
