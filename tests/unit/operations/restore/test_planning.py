"""Tasks: each segment is fetched and decoded once, and memory stays bounded."""

from __future__ import annotations

from backupd.cache.index_table import Place
from backupd.operations.restore.planning import MAX_TASK_BYTES, TASK_FILES, FileWish, Planner, Stretch
from backupd.tree.entry import Entry, Kind

MEBIBYTE = 1 << 20


def _place(segment: int, position: int = 0, plain_bytes: int = MEBIBYTE) -> Place:
    return Place(bytes(32), segment * MEBIBYTE, MEBIBYTE // 2, plain_bytes, position)


def _wish(number: int, chunk_count: int) -> FileWish:
    wish = FileWish(b"d", b"%d" % number, Entry(b"%d" % number, Kind.FILE, 0o644, 0, 0, 0, 1, None), 0)
    wish.ids = b"".join(number.to_bytes(16, "big") + at.to_bytes(16, "big") for at in range(chunk_count))
    wish.lengths = [1000] * chunk_count
    return wish


def _check(planner: Planner) -> None:
    """No segment is in two tasks; slots are those of the task's own segments."""
    seen = [segment for task in planner.tasks for segment in task.segments]
    assert len({(one.place.block_id, one.place.offset) for one in seen}) == len(seen)
    for task in planner.tasks:
        slots = sorted(slot for segment in task.segments for slot in segment.slots.values())
        assert slots == list(range(task.slot_count))
        assert task.plain_bytes <= MAX_TASK_BYTES


def test_files_of_one_segment_share_its_task_wherever_they_come() -> None:
    planner = Planner()
    for number in range(40):
        assert planner.add_file(_wish(number, 1), [_place(number % 20, number)])
    _check(planner)
    assert sum(len(task.files) for task in planner.tasks) == 40
    assert len(planner.tasks) > 1


def test_equal_files_are_fetched_once_and_written_each() -> None:
    planner = Planner()
    for _ in range(10):
        planner.add_file(_wish(1, 1), [_place(1)])
    (task,) = planner.tasks
    assert (task.slot_count, len(task.segments), len(task.files)) == (1, 1, 10)


def test_two_chunks_that_an_index_puts_in_one_place_are_told_apart() -> None:
    """Else the second file would get the first one's bytes, checked against the first one's id."""
    planner = Planner()
    planner.add_file(_wish(1, 1), [_place(1, 5)])
    planner.add_file(_wish(2, 1), [_place(1, 5)])
    (task,) = planner.tasks
    assert task.slot_count == 2


def test_file_over_two_tasks_is_written_in_parts() -> None:
    planner = Planner()
    first, second, both = _wish(1, 12), _wish(2, 1), _wish(3, 3)
    assert planner.add_file(first, [_place(number) for number in range(12)])
    assert planner.add_file(second, [_place(50)])
    places = [_place(3, 1), _place(50, 1), _place(50, 2)]
    assert not planner.add_file(both, places)
    planner.add_stretch(Stretch(both, 0, both.ids, both.lengths), places)
    _check(planner)
    parts = [part for task in planner.tasks for part in task.parts]
    assert [(part.start, part.length) for part in parts] == [(0, 1000), (1000, 2000)]
    assert both.parts_left == 2


def test_many_small_files_are_spread_over_tasks() -> None:
    planner = Planner()
    for number in range(1000):
        planner.add_file(_wish(number, 0), [])
    assert max(len(task.files) for task in planner.tasks) == TASK_FILES


def test_chunks_scattered_over_a_repository_do_not_make_one_huge_task() -> None:
    planner = Planner()
    wish = _wish(1, 200)
    places = [_place(number * 3) for number in range(200)]
    assert not planner.add_file(wish, places)
    planner.add_stretch(Stretch(wish, 0, wish.ids, wish.lengths), places)
    _check(planner)
    assert sum(part.length for task in planner.tasks for part in task.parts) == 200_000
