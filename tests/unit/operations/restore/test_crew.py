"""Workers of a restore that are dead before they are given anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.destination.meter import Meter
from backupd.model import work
from backupd.operations.restore.crew import Crew
from backupd.operations.restore.planning import TaskPlan
from backupd.repository.reader import worker_setup
from backupd.rights import Rights
from tests.support.running import children, is_there, kill
from tests.support.slow_set import wait_for
from tests.support.small_repository import SmallRepository

pytestmark = pytest.mark.platform("linux")


def test_a_task_is_not_blamed_for_workers_that_were_dead_before(tmp_path: Path) -> None:
    """Else a restore leaves files out that nothing is wrong with, when memory ran out and all workers were killed."""
    small = SmallRepository(tmp_path / "place")
    setup = work.FetchSetup(worker_setup(small.repository, str(small.place)))
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    before = set(children(os.getpid()))
    crew = Crew(setup, 2, root, Cancel(), Rights(None), Meter())
    taken: list[work.FetchDone | None] = []
    crew.serve(_nothing_to_do, lambda _, done: taken.append(done))
    try:
        for _ in range(4):
            crew.add(TaskPlan())
        _until_idle(crew)
        workers = set(children(os.getpid())) - before
        assert len(workers) == 2
        for worker in workers:
            kill(worker)
        wait_for(lambda: not any(is_there(worker) for worker in workers))
        last = TaskPlan()
        crew.add(last)
        _until_idle(crew)
    finally:
        crew.close()
        os.close(root)
    assert last.attempts == 0
    assert len(taken) == 5
    assert None not in taken


def _nothing_to_do(number: int, _: TaskPlan) -> work.FetchTask:
    return work.FetchTask(number, 0, [], [], [], [])


def _until_idle(crew: Crew) -> None:
    while not crew.is_idle:
        crew.turn(wait=True)
