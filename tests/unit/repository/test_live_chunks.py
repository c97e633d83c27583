"""If these fail, a freeing takes a chunk for dead that a snapshot needs, or counts wrongly what it would give back."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from backupd.cache.index_tables import IndexTables
from backupd.errors import StateError
from backupd.index.layout import BlockContents, Frame
from backupd.index.writer import tabulate
from backupd.repository.grades import Grade
from backupd.repository.live_chunks import LiveChunks
from tests.support.indexes import make_ids, split_ids

_LENGTH_BYTES = 4


class Case:
    """Blocks that share chunks, in several index objects, each place with a grade of its own."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = Random(seed)
        self.ids = split_ids(make_ids(0, 120)) + [b"same 8 b" + bytes(23) + bytes([number]) for number in range(30)]
        self.lengths = {one: self.random.randrange(1, 3000) for one in self.ids}
        self.tables = IndexTables(str(directory))
        named: list[BlockContents] = []
        for number in range(4):
            blocks = [self._block(10 * number + at) for at in range(3)]
            named += blocks
            self.tables.build(str(number), tabulate(blocks, [], 0))
        choices = [*Grade, Grade.GOOD, Grade.GOOD, Grade.LISTED]
        self.blocks: dict[bytes, Grade] = {block.block_id: self.random.choice(choices) for block in named}
        some = [block for block in named if self.random.random() < 0.4]
        self.mixed = {block.block_id: {self.random.choice(self.ids) for _ in range(40)} for block in some}

    def _block(self, number: int) -> BlockContents:
        frames, offset = [], 80
        for _ in range(self.random.randrange(1, 5)):
            chosen = self.random.sample(self.ids, self.random.randrange(1, 12))
            plain = sum(self.lengths[one] + _LENGTH_BYTES for one in chosen)
            frames.append(Frame(offset, self.random.randrange(50, plain + 50), plain, b"".join(chosen)))
            offset += 10_000
        return BlockContents(bytes([number + 1]) * 32, 90_000, self.random.choice([1, 2]), frames)

    def grade(self, block_id: bytes, chunk_id: bytes) -> Grade:
        """As a look has it: some chunks of a block are bad one by one."""
        grade: Grade = self.blocks[block_id]
        is_bad = chunk_id in self.mixed.get(block_id, ())
        if is_bad and grade in (Grade.GOOD, Grade.RETIRED, Grade.LISTED):
            return Grade.LISTED_DOUBTFUL if grade is Grade.LISTED else Grade.DOUBTFUL
        return grade

    def places(self) -> dict[bytes, list[tuple[Grade, bytes]]]:
        """(grade, block) of the places of each chunk, the newest index object's first."""
        found: dict[bytes, list[tuple[Grade, bytes]]] = defaultdict(list)
        for table in reversed(self.tables.tables()):
            for chunk_id, place in table.entries():
                found[chunk_id].append((self.grade(place.block_id, chunk_id), place.block_id))
        return found

    def needed(self, ids: list[bytes]) -> tuple[dict[bytes, set[bytes]], list[bytes]]:
        """By block the chunks that are to be marked, and those that have no copy: by the text of the rule."""
        blocks: dict[bytes, set[bytes]] = defaultdict(set)
        lost, all_places = [], self.places()
        for chunk_id in ids:
            places = all_places[chunk_id]
            best = min((grade for grade, _ in places), default=Grade.GONE)
            if best is Grade.GONE:
                lost.append(chunk_id)
                continue
            chosen = [block_id for grade, block_id in places if grade is best]
            for block_id in chosen if best is Grade.LISTED else chosen[:1]:
                blocks[block_id].add(chunk_id)
        return blocks, lost


@pytest.mark.parametrize("seed", range(40))
def test_just_the_best_copy_of_each_chunk_is_needed(tmp_path: Path, seed: int) -> None:
    """Whether they are marked at once, in pieces, or several times."""
    case = Case(tmp_path, seed)
    marks = LiveChunks(case.tables, case.grade, 0, case.mixed.keys())
    asked = case.random.sample(case.ids, 90) + [b"?" * 32, b"same 8 b" + b"\xff" * 24]
    blocks, lost = case.needed(asked)
    told = b""
    for piece in (asked[:40], asked[40:41], asked[41:]):
        told += marks.mark(b"".join(piece), [case.lengths.get(one, 1) for one in piece])
    assert split_ids(told) == lost
    before = marks.marked
    assert split_ids(marks.mark(b"".join([*asked, *asked]))) == [*lost, *lost]
    assert marks.marked == before
    uses = marks.uses()
    for block_id in case.blocks:
        assert {one for ids in marks.ids_in(block_id) for one in split_ids(ids)} == blocks[block_id]
        assert uses[block_id].live_chunks == len(blocks[block_id])
    if not any(grade is Grade.LISTED for grade in case.blocks.values()):
        assert before.stored_bytes >= sum(use.live_stored_bytes for use in uses.values())


def test_shares_are_parts_of_the_plain_bytes(tmp_path: Path) -> None:
    """A chunk of nine tenths of a segment takes nine tenths of it, though it is one of two."""
    large, small = split_ids(make_ids(0, 2))
    plain = 9000 + 1000
    block = BlockContents(b"b" * 32, 6000, 1, [Frame(80, 5000, plain, large + small)])
    tables = IndexTables(str(tmp_path))
    tables.build("one", tabulate([block], [], 0))
    marks = LiveChunks(tables, lambda *_: Grade.GOOD, 0, ())
    empty = marks.marked
    marks.mark(large, [9000 - _LENGTH_BYTES])
    assert marks.uses()[block.block_id].live_stored_bytes == 4500
    first = marks.marked
    marks.mark(small, [1000 - _LENGTH_BYTES])
    assert marks.uses()[block.block_id].live_stored_bytes == 5000
    assert (first - empty).compressed_bytes == 4500
    assert (marks.marked - first).compressed_bytes == 500
    assert (marks.marked - first).plain_bytes == 1000 - _LENGTH_BYTES


def test_a_table_that_leads_outside_is_no_defect_of_the_program(tmp_path: Path) -> None:
    """Its disk has changed it: it is removed and made anew, and nothing is freed by it."""
    block = BlockContents(b"b" * 32, 6000, 1, [Frame(80, 5000, 9000, make_ids(0, 2))])
    tables = IndexTables(str(tmp_path))
    tables.build("one", tabulate([block], [], 0))
    (path,) = tmp_path.glob("*.table")
    data = bytearray(path.read_bytes())
    (table,) = tables.tables()
    at = data.rindex((9000).to_bytes(4, "little")) - 12
    data[at : at + 4] = b"\xff\0\0\0"
    tables.close()
    path.write_bytes(data)
    assert tables.load("one")
    with pytest.raises(StateError, match="was damaged"):
        LiveChunks(tables, lambda *_: Grade.GOOD, 0, ())
    assert not path.exists()
