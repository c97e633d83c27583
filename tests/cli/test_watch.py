"""`bkctl watch` on a real daemon: who looks harms no job."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.running import wait_until_it_hears


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with two sets whose runs take seconds."""
    home = tmp_path_factory.mktemp("watch")
    with running_daemon(home) as daemon:
        slow_set.make(daemon, "one", home / "repo", mib=8, seed=1)
        slow_set.make(daemon, "two", home / "repo", mib=8, seed=2)
        yield daemon


def test_ctrl_c_leaves_and_the_job_goes_on(daemon: Daemon) -> None:
    """Somebody who has seen enough must not end the night's backup."""
    with slow_set.begun(daemon, "one") as first:
        jobs = [first, slow_set.begin(daemon, "two")]
        command = [sys.executable, "-P", "-m", "bkctl", "watch", "--json"]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=daemon.environ)
        wait_until_it_hears(watching.pid)
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=20)
    document = json.loads(out)
    assert watching.returncode == 0, err
    assert {job["id"] for job in document["result"]["jobs"]} <= set(jobs)
    assert document["result"]["jobs"]
    done = daemon.json("watch")
    assert done["exit"] == 0
    assert {run["set"] for run in done["result"]["runs"]} <= {"one", "two"}
    assert [slow_set.job(daemon, job)["state"] for job in jobs] == ["completed", "completed"]


def test_events_as_lines(daemon: Daemon) -> None:
    """A program that watches hears first where the job stands, then each step, and gets the document last."""
    (daemon.home / "source-one" / "more").write_bytes(bytes(100))
    with slow_set.begun(daemon, "one", "--tag", "a=b") as job:
        command = [sys.executable, "-P", "-m", "bkctl", "watch", job, "--jsonl"]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, env=daemon.environ)
        assert watching.stdout is not None
        first = watching.stdout.readline()
    rest, _ = watching.communicate(timeout=60)
    lines = [json.loads(line) for line in (first, *rest.splitlines())]
    assert lines[-1]["result"]["runs"][0]["job"] == job
    assert {line["job"] for line in lines[:-1]} <= {job}
    assert "progress" in {line["event"] for line in lines[:-1]} or "step" in {line["event"] for line in lines[:-1]}


def test_an_ended_job_is_told_with_its_own_exit(daemon: Daemon) -> None:
    """`bkctl watch` after the end says how it ended."""
    done = daemon.bkctl("watch", "two@latest")
    assert done.returncode == 0
    assert b"All back:" in done.stdout
    assert daemon.json("watch", "j" + "0" * 32)["exit"] == 10
    failed = daemon.home / "source-two"
    failed.rename(daemon.home / "gone")
    code = daemon.bkctl("backup", "two").returncode
    assert code == 10
    assert daemon.bkctl("watch", "two@latest").returncode == code
