"""The lock of a set: two writers of one set would end each other's sessions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.errors import BusyError, CancelledError
from backupd.settings.lock import FOREVER, SetLock

CLOCK = SystemClock()


def test_the_second_is_told_who_holds_it_and_since_when(tmp_path: Path) -> None:
    before_ns = CLOCK.now_ns()
    with SetLock(str(tmp_path), "b1234") as first, SetLock(str(tmp_path), "b1234") as second:
        first.acquire(CLOCK)
        assert first.is_held
        with pytest.raises(BusyError, match=f"process {os.getpid()}") as caught:
            second.acquire(CLOCK)
        assert caught.value.context["pid"] == os.getpid()
        assert before_ns <= caught.value.context["since_ns"] <= CLOCK.now_ns()
        assert not second.is_held
        SetLock(str(tmp_path), "b5678").acquire(CLOCK)
        first.close()
        second.acquire(CLOCK)
        assert second.is_held


def test_who_waits_gets_it_when_it_is_free(tmp_path: Path) -> None:
    first, second = SetLock(str(tmp_path), "b1"), SetLock(str(tmp_path), "b1")
    first.acquire(CLOCK)
    release = threading.Timer(0.3, first.close)
    release.start()
    second.acquire(CLOCK, FOREVER)
    release.join()
    assert second.is_held
    second.close()


def test_a_wait_ends_with_its_time_or_a_cancel(tmp_path: Path) -> None:
    first, second = SetLock(str(tmp_path), "b1"), SetLock(str(tmp_path), "b1")
    first.acquire(CLOCK)
    with pytest.raises(BusyError):
        second.acquire(CLOCK, 0.3)
    cancel = Cancel()
    cancel.request(CancelledError("stopped"))
    with pytest.raises(CancelledError):
        second.acquire(CLOCK, FOREVER, cancel)
    first.close()


def test_a_killed_holder_leaves_nothing_to_mend(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom backupd.clock import SystemClock\nfrom backupd.settings.lock import SetLock\n"
        "lock = SetLock(sys.argv[1], 'b1')\nlock.acquire(SystemClock())\nprint('held', flush=True)\ntime.sleep(60)\n"
    )
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = SetLock(str(tmp_path), "b1")
        with pytest.raises(BusyError, match=str(holder.pid)):
            lock.acquire(CLOCK)
        holder.kill()
        holder.wait()
        lock.acquire(CLOCK)
        lock.close()


def test_a_torn_note_of_the_holder_is_still_busy(tmp_path: Path) -> None:
    first, second = SetLock(str(tmp_path), "b1"), SetLock(str(tmp_path), "b1")
    first.acquire(CLOCK)
    Path(first.path).write_bytes(b'{"pid": 1')
    with pytest.raises(BusyError) as caught:
        second.acquire(CLOCK)
    assert "pid" not in caught.value.context
    first.close()
