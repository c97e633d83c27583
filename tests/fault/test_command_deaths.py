"""Commands around a run whose process, run or daemon dies: nothing of them lives on, and what undoes is run."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.commanded import Scene, is_dead, running_scene, until
from tests.support.running import children


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene, None, None]:
    with running_scene(tmp_path_factory.mktemp("d")) as made:
        yield made


def test_a_process_of_commands_that_is_killed_takes_them_along_and_the_rest_runs(scene: Scene) -> None:
    pid = scene.home / "pid"
    pid.unlink(missing_ok=True)
    pre = scene.noting("hang", "pre", f"sleep 300 & echo $! $PPID > {pid}; wait")
    scene.make([pre, scene.noting("never", "pre"), scene.noting("undo", "finally")])
    job = scene.begin()
    until(lambda: pid.exists() and pid.read_text())
    child, parent = map(int, pid.read_text().split())
    os.kill(parent, signal.SIGKILL)
    ended = scene.ended(job)
    assert scene.ran() == ["hang ", "undo warning"]
    assert [(one["name"], one["status"]) for one in ended["result"]["runs"][0]["commands"]] == [
        ("hang", "failed"),
        ("never", "not_run"),
        ("undo", "done"),
    ]
    assert ended["exit"] == 3
    until(lambda: is_dead(child))


def test_the_death_of_the_run_itself_is_a_failure_as_any_other(scene: Scene) -> None:
    big = scene.home / "big"
    slow_set.fill(big, 12)
    scene.make(scene.all_kinds(), source=big, compression="best")
    job = scene.begin()
    slow_set.wait_for(lambda: slow_set.read_bytes(scene.daemon, job) > 0)
    assert scene.daemon.process is not None
    for pid in children(scene.daemon.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert scene.ended(job)["exit"] == 5
    until(lambda: len(scene.ran()) == 4)
    assert scene.ran() == ["pre ", "failure interrupted", "finally interrupted", "post interrupted"]


def test_a_daemon_that_is_killed_undoes_when_it_is_back(tmp_path: Path) -> None:
    """And does not power the machine off that somebody has just switched on."""
    with running_scene(tmp_path) as scene:
        daemon = scene.daemon
        pid = scene.home / "pid"
        scene.make([scene.noting("stop", "pre", f"echo $$ > {pid}; exec sleep 300"), *scene.all_kinds()[:4]])
        job = scene.begin()
        until(lambda: pid.exists() and pid.read_text())
        daemon.kill()
        until(lambda: is_dead(int(pid.read_text())))
        daemon.start()
        assert scene.ended(job)["state"] == "interrupted"
        assert scene.ran() == ["stop ", "failure interrupted", "finally interrupted"]


def test_a_daemon_that_is_stopped_undoes_and_goes_on_later(tmp_path: Path) -> None:
    with running_scene(tmp_path) as scene:
        daemon = scene.daemon
        gate, pid = scene.home / "gate", scene.home / "pid"
        pre = scene.noting("stop", "pre", f"echo $$ > {pid}; test -e {gate} || exec sleep 300")
        scene.make([pre, *scene.all_kinds()[:4]])
        job = scene.begin()
        until(lambda: pid.exists() and pid.read_text())
        assert daemon.stop() == 0
        assert scene.ran() == ["stop ", "finally interrupted"]
        gate.touch()
        daemon.start()
        assert scene.ended(job)["exit"] == 0
        until(lambda: len(scene.ran()) == 6)
        assert scene.ran()[2:] == ["stop ", "success completed", "finally completed", "post completed"]
