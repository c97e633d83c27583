"""Who is to blame for a worker's death: else the wrong file is left out of the backup, or the run never ends."""

from __future__ import annotations

from backupd.model.work import FileOrder, FileResult, FilesDone, FilesTask, RegionDone, RegionTask
from backupd.repository.claims import Step
from backupd.repository.redoing import again, blame, give_up, is_answered, redo
from backupd.repository.tasks import Assigned


class _Sink:
    def __init__(self) -> None:
        self.results: list[FileResult] = []
        self.regions: list[FileResult] = []

    def files_done(self, results: list[FileResult]) -> None:
        self.results += results

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        raise AssertionError("nothing is read here")

    def region_done(self, result: FileResult) -> None:
        self.regions.append(result)


def _order(number: int) -> FileOrder:
    return FileOrder(number, 0, b"name", 1, 2, 3, 0, b"", False, None)


def _batch(count: int = 4, deaths: int = 0, sink: _Sink | None = None) -> Assigned:
    task = FilesTask(1, [b"/"], [_order(n) for n in range(count)], deaths > 0)
    return Assigned(task, sink or _Sink(), deaths)


def _region(deaths: int = 0, sink: _Sink | None = None) -> Assigned:
    return Assigned(RegionTask(1, b"/", _order(7), b"", 100, 900, 64, True, deaths > 0), sink or _Sink(), deaths)


def _answered(assigned: Assigned) -> Assigned:
    step = Step(assigned, 0, 0)
    step.messages.append(FilesDone(1, []))
    assigned.steps.append(step)
    return assigned


def test_a_task_is_answered_when_its_last_word_was_said() -> None:
    assert not is_answered(_batch())
    assert is_answered(_answered(_batch()))
    region = _region()
    assert not is_answered(region)
    region.last = RegionDone(1, FileResult(7, b"", 0, b""))
    assert is_answered(region)


def test_after_a_first_death_all_that_was_begun_is_suspect() -> None:
    lost = [_answered(_batch()), _batch(), _region(), _batch()]
    assert blame(lost) == [1, 1, 1, 0]


def test_a_second_death_is_blamed_on_the_one_that_was_alone() -> None:
    waiting, alone = _answered(_batch()), _batch(deaths=1)
    alone.is_begun = True
    assert blame([waiting, alone]) == [0, 2]


def test_a_death_before_the_beginning_is_nobodys_fault() -> None:
    assert blame([_batch(deaths=1), _answered(_batch())]) == [1, 0]


def test_a_region_that_got_on_begins_to_count_anew() -> None:
    region = _region(deaths=2)
    region.is_begun, region.delivered_bytes = True, 300
    assert blame([region]) == [1]
    task = again(region, 1).task
    assert isinstance(task, RegionTask)
    assert (task.start, task.end, task.is_alone) == (400, 900, True)


def test_a_batch_that_ended_two_workers_is_halved_down_to_the_file_that_does_it() -> None:
    sink = _Sink()
    todo, poison, deaths = [(_batch(8, 2, sink), 2)], 5, 2
    while todo:
        assigned, count = todo.pop(0)
        instead = list(redo(assigned, count))
        if not instead:
            give_up(assigned)
        for part in instead:
            task = part.task
            assert isinstance(task, FilesTask)
            assert task.is_alone
            numbers = [order.number for order in task.files]
            if poison in numbers:
                deaths += 1
                todo.append((part, part.deaths + 1))
            else:
                part.sink.files_done([FileResult(number, b"entry", 0, b"") for number in numbers])
    assert sorted((result.number, result.problem_kind) for result in sink.results) == [
        (number, "unreadable" if number == poison else "") for number in range(8)
    ]
    assert deaths == 2 + 2 + 2, "the batch twice, each half once, the file alone twice"


def test_a_large_file_is_given_up_after_three_deaths_without_progress() -> None:
    sink = _Sink()
    assert [part.deaths for part in redo(_region(1, sink), 2)] == [2]
    assert list(redo(_region(2, sink), 3)) == []
    give_up(_region(2, sink))
    assert [(result.number, result.problem_kind) for result in sink.regions] == [(7, "unreadable")]
