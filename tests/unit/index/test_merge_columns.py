"""Merging column by column says what going through all places says: else a chunk is lost, or a place forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.index import merge_columns
from backupd.index.layout import ENTRY, SEGMENT, BlockContents, Frame, IndexContents
from backupd.index.merge import Doubts, merge_all
from backupd.index.reader import decode_all
from backupd.index.writer import seal_index, tabulate
from tests.support.indexes import make_seal

_Place = tuple[bytes, int, int, int, int]
"""Block id, offset, stored bytes, plain bytes, position."""


def _places(contents: IndexContents) -> dict[bytes, _Place]:
    segments = list(SEGMENT.iter_unpack(contents.segments))
    found: dict[bytes, _Place] = {}
    for chunk_id, number, position in ENTRY.iter_unpack(contents.entries):
        block, offset, stored_bytes, plain_bytes = segments[number]
        found[chunk_id] = (contents.blocks[block].block_id, offset, stored_bytes, plain_bytes, position)
    return found


def _by_the_book(inputs: Sequence[IndexContents], doubts: Doubts) -> list[dict[bytes, _Place]]:
    """Second places, third ones, …, and last the first ones, of what merge_all says of them."""
    places: dict[bytes, list[_Place]] = {}
    for contents in inputs:
        for chunk_id, place in _places(contents).items():
            if place[0] not in doubts.dead:
                places.setdefault(chunk_id, []).append(place)
    layers: list[dict[bytes, _Place]] = []
    firsts: dict[bytes, _Place] = {}
    for chunk_id, found in places.items():
        single = {place for place in found if place[0] + chunk_id in doubts.absent_places}
        sound = [place for place in found if place[0] not in doubts.absent_blocks and place not in single]
        first = firsts[chunk_id] = (sound or found)[0]
        good = [place for place in found if place[0] not in doubts.bad_blocks and place not in single]
        for number, place in enumerate(place for place in dict.fromkeys(good) if place != first):
            layers[number:] = layers[number:] or [{}]
            layers[number][chunk_id] = place
    return [*layers, firsts]


def _draw(drawn: Random) -> tuple[list[IndexContents], Doubts]:
    """Few chunks and blocks, so that most are named several times; some ids begin alike."""
    ids = [drawn.randbytes(32) for _ in range(drawn.choice([3, 20]))]
    ids += [bytes(8) + drawn.randbytes(1) + bytes(22) + drawn.randbytes(1) for _ in range(drawn.choice([0, 10]))]
    blocks = [drawn.randbytes(32) for _ in range(drawn.choice([1, 3, 8]))]
    segments = {
        one: [(drawn.randrange(1 << 20), drawn.randrange(1, 1 << 20), drawn.randrange(1 << 20)) for _ in range(4)]
        for one in blocks
    }

    def frames(one: bytes) -> list[Frame]:
        return [
            Frame(*segment, b"".join(drawn.choices(ids, k=drawn.randrange(8))))
            for segment in drawn.sample(segments[one], drawn.randrange(5))
        ]

    def some(of: Sequence[bytes], share: float) -> set[bytes]:
        return {one for one in of if drawn.random() < share}

    def contents() -> IndexContents:
        named = drawn.sample(blocks, drawn.randrange(len(blocks) + 1))
        return tabulate([BlockContents(one, 64 << 20, 1, frames(one)) for one in named], [], drawn.randrange(5))

    inputs = [contents() for _ in range(drawn.randrange(6))]
    absent = some(blocks, drawn.choice([0, 0.4]))
    absent_places = some([one + chunk_id for one in blocks for chunk_id in ids], drawn.choice([0, 0.1]))
    doubts = Doubts(some(blocks, drawn.choice([0, 0.2])), absent, absent_places, some(sorted(absent), 0.5))
    return inputs, doubts


@given(seed=st.integers(0, 1 << 32), part=st.sampled_from([1, 8, 1 << 17]))
def test_all_places_are_where_the_book_says(seed: int, part: int) -> None:
    """Of objects that share blocks and chunks, with blocks dead, absent and bad; in any number of parts."""
    inputs, doubts = _draw(Random(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_columns, "_PART_ENTRIES", part)
        merged = merge_all(inputs, ["old"], doubts)
    assert [_places(contents) for contents in merged] == _by_the_book(inputs, doubts)
    assert [contents.replaces for contents in merged] == [[]] * (len(merged) - 1) + [["old"]]
    seal = make_seal()
    for contents in merged:
        assert decode_all(seal, seal_index(seal, contents)) == contents
        assert contents.generation == min((one.generation for one in inputs), default=0)
    # What is named in no dead block is there once, and no segment is there twice.
    assert {row.block_id for row in merged[-1].blocks} == {
        row.block_id for one in inputs for row in one.blocks if row.block_id not in doubts.dead
    }
