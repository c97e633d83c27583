"""A server process with all that it starts, in however many sessions of their own."""

from __future__ import annotations

import os
import signal
import subprocess
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


def leaves_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes below it that have none below themselves."""
    return [pid for pid in _below(process.pid) if not _below(pid)]


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found += [int(entry.name), *_below(int(entry.name))]
    return found
