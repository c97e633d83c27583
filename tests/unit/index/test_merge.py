"""If these fail, a merged index forgets chunks (stored again, or not found at a restore) or grows for ever."""

from __future__ import annotations

from backupd.index.layout import ENTRY, MAX_ENTRIES, MAX_OBJECT_BYTES, SEGMENT, IndexContents
from backupd.index.merge import Doubts, IndexSize, level_of, merge, plan_merge
from backupd.index.reader import decode_all
from backupd.index.writer import seal_index, tabulate
from tests.support.indexes import ids_of, make_block, make_seal, split_ids


def sizes(*entries: int) -> list[IndexSize]:
    return [IndexSize(f"{number:032x}", count, 200 + 40 * count) for number, count in enumerate(entries)]


def placed(contents: IndexContents) -> dict[bytes, tuple[bytes, tuple[int, ...], int]]:
    from_block = {number: row.block_id for number, row in enumerate(contents.blocks)}
    segments = list(SEGMENT.iter_unpack(contents.segments))
    return {
        chunk_id: (from_block[segments[segment][0]], segments[segment][1:], position)
        for chunk_id, segment, position in ENTRY.iter_unpack(contents.entries)
    }


def test_levels() -> None:
    assert [level_of(n) for n in (0, 511, 512, 4095, 4096, 32_767, 32_768, 262_144)] == [0, 0, 0, 0, 1, 1, 2, 3]


def test_eight_of_a_level_are_merged() -> None:
    assert plan_merge(sizes(*[10] * 7)) == []
    assert plan_merge(sizes(*[10] * 7, 5000)) == []
    (group,) = plan_merge(sizes(*[10] * 8, *[5000] * 3))
    assert group == [f"{number:032x}" for number in range(8)]
    assert [len(group) for group in plan_merge(sizes(*[10] * 17, *[5000] * 8))] == [8, 8, 8]


def test_no_plan_breaks_a_limit() -> None:
    assert [len(group) for group in plan_merge(sizes(*[260_000] * 8))] == [5]
    assert plan_merge(sizes(*[MAX_ENTRIES // 2 + 1] * 20)) == []
    assert [len(group) for group in plan_merge(sizes(*[MAX_ENTRIES // 2] * 8))] == [2]
    wide = [IndexSize(f"{number:032x}", 300_000, MAX_OBJECT_BYTES // 3) for number in range(9)]
    assert [len(group) for group in plan_merge(wide)] == [2]


def test_years_of_runs_leave_few_objects() -> None:
    objects: dict[str, IndexSize] = {}
    for run in range(3000):
        objects[f"run {run}"] = IndexSize(f"run {run}", 700, 30_000)
        while groups := plan_merge(list(objects.values())):
            for group in groups:
                entries = sum(objects.pop(name).entries for name in group)
                objects["+".join(group)] = IndexSize("+".join(group), entries, 200 + 40 * entries)
    assert len(objects) < 40


def test_a_merge_keeps_every_chunk_and_its_place() -> None:
    first = tabulate([make_block(1, [40, 50], 0), make_block(2, [9], 90, content=2)], ["x"], 5)
    second = tabulate([make_block(3, [2000, 3], 200)], ["y"], 3)
    merged = merge([first, second], ["one", "two"])
    assert placed(merged) == placed(first) | placed(second)
    assert (merged.replaces, merged.generation) == (["one", "two"], 3)
    seal = make_seal()
    assert decode_all(seal, seal_index(seal, merged)) == merged


def test_many_chunks_are_merged_part_by_part() -> None:
    inputs = [tabulate([make_block(n, [20_000], n * 15_000)], [], 0) for n in range(5)]
    merged = merge(inputs, [])
    expected: dict[bytes, tuple[bytes, tuple[int, ...], int]] = {}
    for contents in reversed(inputs):
        expected |= placed(contents)
    assert placed(merged) == expected
    assert merged.entry_count == 80_000


def test_the_newest_place_wins() -> None:
    """The older place may be the damaged one for which the chunk was stored again."""
    newer, older = tabulate([make_block(2, [5], 0)], [], 0), tabulate([make_block(1, [9], 0)], [], 0)
    merged = merge([newer, older], [])
    assert {place[0] for place in list(placed(newer).values())} == {make_block(2, [], 0).block_id}
    assert placed(merged) == placed(older) | placed(newer)


def test_dead_blocks_give_way_to_living_ones() -> None:
    dead, living = make_block(1, [5, 5], 0), make_block(2, [7], 0)
    merged = merge([tabulate([dead], [], 0), tabulate([living], [], 0)], [], Doubts({dead.block_id}))
    assert [row.block_id for row in merged.blocks] == [living.block_id]
    assert sorted(placed(merged)) == sorted(split_ids(ids_of([living])))
    assert merged.segment_count == 1
    assert merge([], []).entry_count == 0


def test_a_block_that_several_objects_name_stays_one() -> None:
    """Twice the same block and segments, as after a resumed run, are not kept twice."""
    block = make_block(1, [5, 6], 0)
    once = tabulate([block], [], 0)
    assert merge([once, tabulate([make_block(1, [5, 6], 0), make_block(2, [1], 90)], [], 0)], []).segment_count == 3
    assert merge([once, once], []) == once
