"""Pause and resume: a job that waits keeps its place, holds nobody up for ever, and can be ended at any time."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home") as started:
        yield started


def test_a_paused_backup_stops_reading_and_goes_on_to_its_end(daemon: Daemon, tmp_path: Path) -> None:
    """Else who needs the machine or the line for an hour has to give up what the run has done."""
    source = slow_set.make(daemon, "slow", tmp_path / "place")
    with slow_set.begun(daemon, "slow") as job:
        assert daemon.good("job", "pause", job)["changed"] is True
        assert daemon.good("job", "pause", job)["changed"] is False
        assert slow_set.job(daemon, job)["state"] == "paused"
    # What was stored so far is reachable: an announcement with a checkpoint lies at the place.
    slow_set.wait_for(lambda: len(list((tmp_path / "place").glob("*/sessions/*/*"))) >= 2)

    def stands_still() -> bool:
        before = slow_set.read_bytes(daemon, job)
        time.sleep(1.0)
        return slow_set.read_bytes(daemon, job) == before

    # What is under way is read to its end.
    slow_set.wait_for(stands_still)
    assert stands_still()
    assert daemon.good("job", "resume", job)["changed"] is True
    document = daemon.json("job", "wait", job)
    assert document["exit"] == 0, document
    refused = daemon.json("job", "pause", job)
    assert (refused["exit"], refused["error"]["code"]) == (17, "conflict"), "what has ended can't wait"
    daemon.good("restore", "slow", "--to", tmp_path / "out")
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []


def test_a_paused_job_is_cancelled_at_once_and_keeps_what_it_stored(daemon: Daemon, tmp_path: Path) -> None:
    slow_set.make(daemon, "slow", tmp_path / "place")
    with slow_set.begun(daemon, "slow") as job:
        slow_set.go_on_until_stored(daemon, job)
        daemon.good("job", "pause", job)
    began = time.monotonic()
    daemon.good("job", "cancel", job)
    document = daemon.json("job", "wait", job)
    assert time.monotonic() - began < 8
    assert (document["exit"], document["error"]["code"]) == (5, "run.stopped"), document
    assert slow_set.job(daemon, job)["state"] == "interrupted"
    (partial,) = daemon.good("snapshot", "list", "slow", "--incomplete")["snapshots"]
    assert partial["incomplete"] is True


def test_a_paused_job_is_still_paused_after_a_restart(daemon: Daemon, tmp_path: Path) -> None:
    """Else an update of the program begins what somebody stopped with reason."""
    slow_set.make(daemon, "slow", tmp_path / "place", mib=4)
    with slow_set.begun(daemon, "slow") as job:
        daemon.good("job", "pause", job)
    daemon.restart()
    slow_set.wait_for(lambda: slow_set.job(daemon, job)["state"] == "paused")
    daemon.good("job", "resume", job)
    assert daemon.json("job", "wait", job)["exit"] == 0
