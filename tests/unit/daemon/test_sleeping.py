"""Sleep is held off while jobs run, and ended for schedules that say so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.daemon.sleeping import Sleep, findings, holding_command
from backupd.daemon.wake_timer import WakeTimer

pytestmark = pytest.mark.platform("linux")


@pytest.fixture
def inhibitor(tmp_path: Path) -> Path:
    """Notes of a `systemd-inhibit` beside it, which runs its command as the real one does with a login manager."""
    found = tmp_path / "bin" / "systemd-inhibit"
    found.parent.mkdir()
    found.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\nwhile [ "${{1#--}}" != "$1" ]; do shift; done\n'
        f'"$@"\nrm {tmp_path}/words\n'
    )
    found.chmod(0o755)
    return tmp_path / "words"


def _wait(path: Path, *, is_there: bool) -> None:
    end = time.monotonic() + 10
    while path.exists() is not is_there:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_sleep_is_held_off_while_jobs_run(inhibitor: Path, tmp_path: Path) -> None:
    """Else a laptop that is left alone sleeps in the middle of its first backup, each night."""
    sleep = Sleep({"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}, str(tmp_path))
    sleep.hold_off(is_busy=False)
    assert not inhibitor.exists()
    sleep.hold_off(is_busy=True)
    _wait(inhibitor, is_there=True)
    sleep.hold_off(is_busy=True)
    assert "--what=sleep" in inhibitor.read_text().split("\n")
    sleep.hold_off(is_busy=False)
    _wait(inhibitor, is_there=False)
    sleep.hold_off(is_busy=True)
    _wait(inhibitor, is_there=True)
    sleep.close()
    _wait(inhibitor, is_there=False)


def test_a_killed_daemon_holds_nothing_off(inhibitor: Path, tmp_path: Path) -> None:
    """Else the machine never sleeps again."""
    words = (
        "import sys, time; from backupd.daemon.sleeping import Sleep\n"
        f"Sleep({{'PATH': '{tmp_path}/bin:{os.environ['PATH']}'}}, '{tmp_path}').hold_off(is_busy=True)\n"
        "time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", words])
    _wait(inhibitor, is_there=True)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    _wait(inhibitor, is_there=False)
    assert not inhibitor.exists()


def test_where_it_cannot_be_held_off_jobs_run_all_the_same(tmp_path: Path) -> None:
    """A container has no login manager; its program fails at once, or is not there."""
    (tmp_path / "bin").mkdir()
    failing = tmp_path / "bin" / "systemd-inhibit"
    for text in ("#!/bin/sh\necho no bus >&2; exit 1\n", None):
        if text is not None:
            failing.write_text(text)
            failing.chmod(0o755)
        else:
            failing.unlink()
        sleep = Sleep({"PATH": f"{tmp_path}/bin"}, str(tmp_path))
        for _ in range(3):
            sleep.hold_off(is_busy=True)
            time.sleep(0.05)
        sleep.close()
    assert [one.check for one in findings({"PATH": f"{tmp_path}/bin"}, [])] == ["sleep"]
    assert holding_command("darwin")[0] == "caffeinate"
    assert holding_command("win32") == holding_command("linux", str(tmp_path / "none")) == ()


@pytest.mark.root
def test_the_machine_is_woken_for_a_schedule() -> None:
    """The kernel's own timer, set and set anew."""
    timer = WakeTimer()
    now_ns = SystemClock().now_ns()
    timer.set(now_ns + 3600 * 10**9)
    assert 3590 < timer.left_seconds() <= 3600
    timer.set(now_ns + 7200 * 10**9)
    assert 7190 < timer.left_seconds() <= 7200
    timer.close()
    sleep = Sleep({})
    sleep.wake_at(None)
    sleep.wake_at(now_ns + 60 * 10**9)
    assert sleep._timer is not None
    assert 50 < sleep._timer.left_seconds() <= 60
    before = len(os.listdir("/proc/self/fd"))
    sleep.wake_at(None)
    assert len(os.listdir("/proc/self/fd")) == before - 1
    sleep.close()
