"""A server process with all that it starts, in however many sessions of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def signal_tree(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the process and all below it; the process first is stopped, so that it starts no more."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)
    for pid in [*reversed(_below(process.pid)), process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all below it, and wait for it."""
    signal_tree(process, signal.SIGKILL)
    process.wait()


def stop_group(group: int, seconds: float = 30.0) -> None:
    """Have a process group stand still; on a busy machine its threads go on for a while after the signal."""
    os.killpg(group, signal.SIGSTOP)
    end = time.monotonic() + seconds
    while _goes_on(group):
        assert time.monotonic() < end, "it does not stop"
        time.sleep(0.01)


def _goes_on(group: int) -> bool:
    states: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(_fields(entry)[2]) == group:
                states += [_fields(task)[0] for task in (entry / "task").iterdir()]
    return any(state not in "TtZ" for state in states)


def _fields(entry: Path) -> list[str]:
    """State, parent, group and the rest."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def leaves_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes below it that have none below themselves."""
    return [pid for pid in _below(process.pid) if not _below(pid)]


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(_fields(entry)[1]) == pid:
                found += [int(entry.name), *_below(int(entry.name))]
    return found
