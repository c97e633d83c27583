"""A worker that is killed costs no verdict; a block that kills workers is told, not asked for ever."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from backupd.destination.meter import Meter
from backupd.errors import BackupError
from backupd.model.work import BlockVerdict
from backupd.repository.block_check import BlockCheck
from backupd.repository.reader import worker_setup
from tests.support.small_repository import Node, SmallRepository, directory


@pytest.fixture
def check(tmp_path: Path) -> BlockCheck:
    small = SmallRepository(tmp_path / "place")
    for day in range(4):
        small.add(directory(file=Node(os.urandom(3000))), day=day)
    # Of unknown size: then each is worth a worker.
    blocks = [(bytes.fromhex(info.name[-64:]), 0) for info in small.repository.place.list("blocks/")]
    return BlockCheck(worker_setup(small.repository, str(tmp_path / "place")), 2, blocks, Meter())


def _workers(check: BlockCheck) -> list[int]:
    return [worker.process.pid for worker in check.workers()]


def _kill_all(check: BlockCheck, verdicts: list[BlockVerdict]) -> None:
    while not check.is_done:
        for pid in _workers(check):
            os.kill(pid, signal.SIGKILL)
        verdicts += check.pump(1.0)


def test_every_block_gets_its_verdict_though_a_worker_is_killed(check: BlockCheck) -> None:
    os.kill(_workers(check)[0], signal.SIGKILL)
    verdicts = []
    while not check.is_done:
        verdicts += check.pump(1.0)
    check.close()
    assert len({verdict.block_id for verdict in verdicts}) == len(verdicts) == 8
    assert not any(verdict.problems for verdict in verdicts)


def test_a_block_that_kills_two_workers_is_a_problem(check: BlockCheck) -> None:
    verdicts: list[BlockVerdict] = []
    with pytest.raises(BackupError, match="before they verified anything"):
        _kill_all(check, verdicts)
    check.close()
    assert verdicts
    assert all("could not be verified" in verdict.problems[0][1] for verdict in verdicts)
