"""Every exit code of the command line is provoked on a real daemon: what a script goes by must be what happened."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.house.errors_reference import EXIT_CODES
from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import tmpfs
from tests.support.ordinary_user import run_as_user
from tests.support.running import wait_until_it_hears

NOT_YET: dict[int, str] = {}
"""Codes that this version never ends with, and why."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        (made.home / "src").mkdir()
        (made.home / "src" / "a").write_text("a")
        made.good("set", "create", "home", "--source", made.home / "src", "--to", made.home / "repo")
        made.good("backup", "home")
        slow_set.fill(made.home / "slow", 40)
        yield made


def all_done(daemon: Daemon) -> int:
    return daemon.bkctl("backup", "home").returncode


def failed(daemon: Daemon) -> int:
    """The output's disk is full."""
    return daemon.bkctl("set", "show", "home", "--output", "/dev/full").returncode


def usage(daemon: Daemon) -> int:
    return daemon.bkctl("backup").returncode


def left_out(daemon: Daemon) -> int:
    """One of two sources is gone."""
    daemon.good("set", "copy", "home", "two-sources")
    daemon.good("set", "edit", "two-sources", "--add-source", daemon.home / "gone")
    return daemon.bkctl("backup", "two-sources").returncode


def some_destinations(daemon: Daemon) -> int:
    """One of two disks is not there."""
    daemon.good("set", "copy", "home", "two-places")
    daemon.good("set", "edit", "two-places", "--add-to", daemon.home / "absent")
    (daemon.home / "absent").write_text("not a directory")
    return daemon.bkctl("backup", "two-places").returncode


def cancelled_elsewhere(daemon: Daemon) -> int:
    with _under_way(daemon, "cancelled") as job:
        command = [sys.executable, "-P", "-m", "bkctl", "job", "wait", job]
        process = subprocess.Popen(command, env=daemon.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until_it_hears(process.pid)
    return process.wait(60)


def not_found(daemon: Daemon) -> int:
    return daemon.bkctl("backup", "nothing").returncode


def busy(daemon: Daemon) -> int:
    with _under_way(daemon, "busy"):
        return daemon.bkctl("backup", "busy").returncode


def wrong_key(daemon: Daemon) -> int:
    wrong = daemon.home / "wrong"
    wrong.write_text("wrong")
    return daemon.bkctl("snapshot", "list", "home", "--password-file", wrong).returncode


def no_daemon(daemon: Daemon) -> int:
    return daemon.bkctl("set", "list", "--socket", daemon.home / "nobody").returncode


def no_right(daemon: Daemon) -> int:
    """A user without a role asks."""
    made = daemon.home
    while made != Path("/tmp") and made.parent != made:
        made.chmod(made.stat().st_mode | 0o011)
        made = made.parent
    daemon.run.chmod(0o755)
    daemon.socket.chmod(0o666)

    def ask() -> str:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(daemon.socket))
            end.sendall(b"GET /v1/sets HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: end.recv(1 << 16), b"")).decode()

    answer = str(run_as_user(ask))
    assert answer.startswith("HTTP/1.0 403")
    return int(answer.partition('"exit":')[2].partition(",")[0])


def unreachable(daemon: Daemon) -> int:
    """The only disk is not there."""
    daemon.good("set", "create", "away", "--source", daemon.home / "src", "--to", daemon.home / "unmounted" / "disk")
    return daemon.bkctl("backup", "away").returncode


def no_space(daemon: Daemon) -> int:
    with tmpfs(daemon.home / "small", "3m") as small:
        (daemon.home / "large").mkdir()
        (daemon.home / "large" / "a").write_bytes(os.urandom(8 << 20))
        daemon.good("set", "create", "large", "--source", daemon.home / "large", "--to", small / "repo")
        return daemon.bkctl("backup", "large").returncode


def conflict(daemon: Daemon) -> int:
    words = ("--source", daemon.home / "src", "--to", daemon.home / "repo")
    return daemon.bkctl("set", "create", "home", *words).returncode


def newer_version(daemon: Daemon) -> int:
    """The state was written by a later backupd."""
    other = Daemon(daemon.home / "other")
    other.state.mkdir(parents=True)
    with sqlite3.connect(other.state / "catalog.sqlite") as catalog:
        catalog.execute("PRAGMA user_version = 999")
    command = [sys.executable, "-P", "-m", "backupd", "--socket", str(other.socket)]
    command += ["--state", str(other.state), "--config", str(other.config)]
    return subprocess.run(command, env=other.environ, cwd="/", check=False, capture_output=True).returncode


def damage(daemon: Daemon) -> int:
    daemon.good("set", "create", "hurt", "--source", daemon.home / "src", "--to", daemon.home / "hurt")
    daemon.good("backup", "hurt")
    for block in (daemon.home / "hurt").glob("r*/blocks/*/*"):
        block.write_bytes(b"\0" * block.stat().st_size)
    return daemon.bkctl("check", "hurt", "--crc").returncode


def attention(daemon: Daemon) -> int:
    """A set that never ran."""
    daemon.good("set", "copy", "home", "never-ran")
    return daemon.bkctl("status", "never-ran", "--max-age", "1h").returncode


def waits(daemon: Daemon) -> int:
    """A purge of all, by another host than the one whose backup is under way there."""
    with _under_way(daemon, "purged"):
        place = daemon.home / "purged-repo"
        key = daemon.state / "keys" / f"{next(place.glob('r*')).name}.key"
        words = ("--from", place, "--no-daemon", "--password-file", key, "--confirm", place)
        found: int = daemon.json("purge", "--all", *words)["exit"]
        return found


def answer_needed(daemon: Daemon) -> int:
    return daemon.bkctl("set", "delete", "home").returncode


def skipped(daemon: Daemon) -> int:
    with _under_way(daemon, "skipped"):
        return daemon.bkctl("backup", "skipped", "--if-running", "skip").returncode


def timeout(daemon: Daemon) -> int:
    """The job goes on."""
    with _under_way(daemon, "late") as job:
        code = daemon.bkctl("job", "wait", job, "--timeout", "1s").returncode
        assert slow_set.job(daemon, job)["state"] == "running"
    return code


def interrupted(daemon: Daemon) -> int:
    return _signalled(daemon, "interrupted", signal.SIGINT)


def terminated(daemon: Daemon) -> int:
    return _signalled(daemon, "terminated", signal.SIGTERM)


def reader_gone(daemon: Daemon) -> int:
    """As in `bkctl ... | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-P", "-m", "bkctl", "completion", "bash"]
    done = subprocess.run(command, stdout=writer, env=daemon.environ, check=False)
    os.close(writer)
    return done.returncode


PROVOKED: dict[int, Callable[[Daemon], int]] = {
    0: all_done,
    1: failed,
    2: usage,
    3: left_out,
    4: some_destinations,
    5: cancelled_elsewhere,
    10: not_found,
    11: busy,
    12: wrong_key,
    13: no_daemon,
    14: no_right,
    15: unreachable,
    16: no_space,
    17: conflict,
    18: newer_version,
    20: damage,
    21: attention,
    22: answer_needed,
    23: waits,
    75: skipped,
    124: timeout,
    130: interrupted,
    141: reader_gone,
    143: terminated,
}
_AS_ROOT = (14, 16)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=[pytest.mark.root] if code in _AS_ROOT else []) for code in PROVOKED]
)
def test_the_code_says_what_happened(daemon: Daemon, code: int) -> None:
    """Monitoring and scripts decide by it alone."""
    assert PROVOKED[code](daemon) == code


def test_every_code_is_provoked_or_can_not_occur_yet() -> None:
    """A code that no test ever saw may mean anything."""
    listed = {code for code, _, _ in EXIT_CODES}
    assert listed - set(PROVOKED) == set()
    assert set(NOT_YET) & set(PROVOKED) == set()
    assert set(NOT_YET) & listed == set(), "docs/errors.md lists what this version ends with"


def _make_slow(daemon: Daemon, name: str) -> None:
    words = ("--to", daemon.home / f"{name}-repo", "--compression", "best", "--jobs", "1")
    daemon.good("set", "create", name, "--source", daemon.home / "slow", *words)


@contextmanager
def _under_way(daemon: Daemon, name: str) -> Generator[str, None, None]:
    """The job of a new set that stands still until the block ends, and is cancelled then; its id."""
    _make_slow(daemon, name)
    with slow_set.begun(daemon, name) as job:
        yield job
        daemon.good("job", "cancel", job)
    daemon.json("job", "wait", job)


def _signalled(daemon: Daemon, name: str, number: signal.Signals) -> int:
    """What `bkctl backup` of a new set ends with that gets a signal while its job stands still."""
    _make_slow(daemon, name)
    command = [sys.executable, "-P", "-m", "bkctl", "backup", name]
    with ExitStack() as stack:
        with slow_set.gate(daemon):
            quiet = subprocess.DEVNULL
            process = subprocess.Popen(command, env=daemon.environ, stdin=quiet, stdout=quiet, stderr=quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            wait_until_it_hears(process.pid)
            slow_set.wait_until_announced(daemon.home / f"{name}-repo")
            process.send_signal(number)
        return process.wait(60)
