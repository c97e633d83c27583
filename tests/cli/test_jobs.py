"""Jobs on a real daemon: begun, joined, skipped, waited for, left, cancelled; every answer with its exit code."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.running import wait_until_it_hears

SLOW_MIB = 2


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as started:
        source = started.home / "source"
        source.mkdir()
        (source / "file").write_bytes(b"some bytes" * 1000)
        started.good("set", "create", "quick", "--source", source, "--to", started.home / "place", "--jobs", "1")
        started.good("backup", "quick")
        yield started


@pytest.fixture
def slow(daemon: Daemon) -> Generator[str, None, None]:
    """A job of a new set `slow` that is under way, paused so that it stays so; ended afterwards, its set removed."""
    place = daemon.home / f"place-{time.monotonic_ns()}"
    slow_set.make(daemon, "slow", place, mib=SLOW_MIB, seed=time.monotonic_ns() & 0xFFFF)
    with slow_set.begun(daemon, "slow") as job:
        daemon.good("job", "pause", job)
    yield job
    for one in daemon.good("job", "list", "slow", "--status", "queued,running,paused")["jobs"]:
        daemon.good("job", "cancel", one["id"])
        daemon.json("job", "wait", one["id"])
    daemon.good("set", "delete", "slow", "--confirm", "slow", "--yes")


def code_of(document: dict[str, Any]) -> tuple[int, str | None]:
    """Exit code and the error's code."""
    return document["exit"], (document["error"] or {}).get("code")


def bkctl(daemon: Daemon, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "bkctl", *words]
    return subprocess.Popen(command, stdout=-1, stderr=-1, env=daemon.environ, cwd=daemon.home)


def test_a_second_run_of_a_set_is_refused_skipped_joined_or_waits(daemon: Daemon, slow: str) -> None:
    """Two runs of one set at once would each store everything."""
    refused = daemon.json("backup", "slow")
    assert code_of(refused) == (11, "set.busy")
    assert refused["error"]["context"] == {"job": slow, "set": "slow"}
    skipped = daemon.json("backup", "slow", "--if-running", "skip")
    assert code_of(skipped) == (75, "run.skipped")
    assert skipped["result"]["runs"][0]["job"] == slow
    joined = daemon.good("backup", "slow", "--if-running", "join", "--detach")
    assert joined["jobs"] == [{"id": slow, "set": "slow"}]
    (waiting,) = daemon.good("backup", "slow", "--if-running", "wait", "--detach")["jobs"]
    found = slow_set.job(daemon, waiting["id"])
    assert (found["state"], found["waits_for"]) == ("queued", f"job {slow[:9]}: a backup of the same set")
    cancelled = daemon.good("job", "cancel", waiting["id"])
    assert (cancelled["changed"], cancelled["job"]) == (True, waiting["id"])
    assert code_of(daemon.json("job", "wait", waiting["id"])) == (5, "run.stopped")
    found = slow_set.job(daemon, waiting["id"])
    assert (found["state"], found["started"]) == ("interrupted", None)
    assert slow_set.job(daemon, slow)["state"] == "paused", "its neighbour went on"


def test_several_sets_in_one_call_each_have_their_own_answer(daemon: Daemon, slow: str) -> None:
    """One set that is busy must not keep the others from being backed up."""
    before = daemon.good("job", "list", "quick")["jobs"][0]["id"]
    refused = daemon.json("backup", "quick", "slow")
    assert code_of(refused) == (11, "set.busy")
    assert daemon.good("job", "list", "quick")["jobs"][0]["id"] == before, "nothing was begun"
    document = daemon.json("backup", "--all", "--if-running", "skip")
    assert code_of(document) == (75, "run.skipped")
    assert {run["set"]: run["exit"] for run in document["result"]["runs"]} == {"quick": 0, "slow": 75}


def test_restores_never_wait_and_two_jobs_run_at_once(daemon: Daemon, slow: str) -> None:
    """Who lost a file must not wait for the night's backup."""
    assert daemon.json("restore", "quick", "--to", daemon.home / "out1")["exit"] == 0
    assert daemon.json("backup", "quick")["exit"] == 0, "another set runs beside it"
    assert slow_set.job(daemon, slow)["state"] == "paused"


def test_a_third_job_waits_for_a_free_place(daemon: Daemon, slow: str) -> None:
    place = daemon.home / f"place-{slow}"
    slow_set.make(daemon, "other", place, mib=SLOW_MIB, seed=7)
    with slow_set.begun(daemon, "other") as second:
        daemon.good("job", "pause", second)
    third = slow_set.begin(daemon, "quick")
    found = slow_set.job(daemon, third)
    assert (found["state"], found["waits_for"]) == ("queued", "a free place: 2 jobs are running")
    daemon.good("job", "cancel", second)
    assert daemon.json("job", "wait", third)["exit"] == 0


def test_a_time_limit_leaves_the_job_at_work(daemon: Daemon, slow: str) -> None:
    document = daemon.json("job", "wait", slow, "--timeout", "1s")
    assert code_of(document) == (124, "run.timeout")
    joined = daemon.json("backup", "slow", "--if-running", "join", "--timeout", "1s")
    assert code_of(joined) == (124, "run.timeout")
    assert f"bkctl watch {slow[:9]}" in joined["error"]["hint"]
    assert slow_set.job(daemon, slow)["state"] == "paused"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_and_others_hear_that_it_was_stopped(
    daemon: Daemon, slow: str, number: signal.Signals, code: int
) -> None:
    """Whoever pressed Ctrl-C gets 130; who only waited gets 5: no signal came to him."""
    with bkctl(daemon, "backup", "slow", "--if-running", "join", "--json") as process:
        wait_until_it_hears(process.pid)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == code
    assert code_of(daemon.json("job", "wait", slow)) == (5, "run.stopped")
    assert slow_set.job(daemon, slow)["state"] == "interrupted"


def test_a_hang_up_and_a_closed_pipe_leave_the_job_at_work(daemon: Daemon, slow: str) -> None:
    """A closed laptop must not end a server's backup."""
    with bkctl(daemon, "backup", "slow", "--if-running", "join") as process:
        wait_until_it_hears(process.pid)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert process.returncode == 124
    assert slow_set.job(daemon, slow)["state"] == "paused"


def test_ctrl_c_at_a_terminal_asks_to_detach_or_cancel(daemon: Daemon, slow: str) -> None:
    pid, fd = pty.fork()
    if pid == 0:
        command = [sys.executable, "-P", "-m", "bkctl", "job", "wait", slow]
        os.execve(command[0], command, {**daemon.environ, "TERM": "xterm"})
    wait_until_it_hears(pid)
    os.write(fd, b"\x03")
    seen = b""
    while b"Detach or cancel?" not in seen:
        assert select.select([fd], [], [], 20)[0], seen
        seen += os.read(fd, 4096)
    os.write(fd, b"d\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 124
    os.close(fd)
    assert slow_set.job(daemon, slow)["state"] == "paused"


def test_stop_after_ends_a_run_with_what_it_has(daemon: Daemon) -> None:
    """What must end by six in the morning ends, and the next night goes on from there."""
    place = daemon.home / f"place-{time.monotonic_ns()}"
    slow_set.make(daemon, "limited", place, mib=16, seed=9)
    with slow_set.begun(daemon, "limited", "--stop-after", "1s") as job:
        slow_set.go_on_until_stored(daemon, job)
        # Its time began before this.
        time.sleep(1.1)
    document = daemon.json("watch", job)
    assert code_of(document) == (5, "run.stopped"), document
    assert "--stop-after" in document["error"]["message"]
    run = document["result"]["runs"][0]
    assert (run["exit"], bool(run["snapshot"])) == (5, True), "the partial one"
    assert slow_set.job(daemon, run["job"])["state"] == "interrupted"


def test_what_is_not_there_is_said_so(daemon: Daemon) -> None:
    assert code_of(daemon.json("job", "show", "jffffffff")) == (10, "job.not_found")
    assert code_of(daemon.json("job", "cancel", "latest~999")) == (10, "job.not_found")
    assert code_of(daemon.json("backup", "nothing")) == (10, "set.not_found")
    done = daemon.good("job", "list", "quick")["jobs"][0]["id"]
    assert daemon.good("job", "cancel", done)["changed"] is False
    assert daemon.json("job", "wait", done)["exit"] == 0


def test_what_tests_ask_in_their_own_process_is_what_bkctl_says(daemon: Daemon) -> None:
    """Else most tests look at something else than what a script gets."""

    def standing() -> list[object]:
        return [signal.getsignal(signal.SIGTERM), *(os.fstat(number)[1:3] for number in range(3))]

    before = standing()
    for words in (("job", "list"), ("set", "list"), ("backup", "nothing"), ("snapshot", "list", "quick"), ("none",)):
        done = daemon.bkctl(*words, "--json")
        found = daemon.json(*words)
        assert (done.returncode, json.loads(done.stdout)) == (found["exit"], found), done.stderr
    assert standing() == before
    place = daemon.home / "elsewhere"
    made = daemon.json("once", daemon.home / "source", "--to", place, "--no-daemon")
    assert made["exit"] == 0, made
    key = next((daemon.home / "xdg" / "data").rglob("*.key"))
    assert made["result"]["repository"]["id"] in key.name, "the job has the variables of the daemon's user alone"
