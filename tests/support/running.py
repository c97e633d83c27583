"""`bkctl` under way, with the job and the workers below it: to be stopped, killed, waited for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.machine import Machine


class Run:
    """One run of `bkctl`; `--json` is added."""

    def __init__(self, machine: Machine | Daemon, *words: str | Path) -> None:
        machine.home.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "bkctl", *map(str, words), "--json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=machine.environ, cwd=machine.home
        )
        self._seen: set[int] = set()

    @property
    def job(self) -> int | None:
        """Process id of the job."""
        return next(iter(children(self.process.pid)), None)

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers."""
        job = self.job
        return [] if job is None else list(children(job))

    @property
    def is_running(self) -> bool:
        """Whether `bkctl` is there."""
        return self.process.poll() is None

    def kill(self, *, with_workers: bool = True) -> None:
        """kill -9 of the job, before or after its workers; bkctl then ends by itself."""
        job, workers = self.job, self.workers
        for process in (job, *workers) if with_workers else (job,):
            if process is not None:
                kill(process)
        self._seen.update(workers)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Whether the condition came true while the run was under way."""
        end = time.monotonic() + seconds
        while not condition():
            if not self.is_running or time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def end(self) -> dict[str, Any]:
        """Wait for bkctl and all below it; gives the document."""
        below = {*self._seen, *self.workers, *([self.job] if self.job else [])}
        out, err = self.process.communicate(timeout=300)
        end = time.monotonic() + 30
        while any(is_there(process) for process in below) and time.monotonic() < end:
            time.sleep(0.01)
        try:
            document: dict[str, Any] = json.loads(out)
        except ValueError:
            raise AssertionError(f"exit {self.process.returncode}: {out!r} {err!r}") from None
        document["stderr"] = err.decode(errors="replace")
        return document


def kill(process: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def children(process: int) -> Iterator[int]:
    """Process ids of those that a process started."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{process}/task"):
            yield from map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())


def is_there(process: int) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_it_hears(process: int, seconds: float = 30.0) -> None:
    """Wait until bkctl takes signals in turn: it catches SIGTERM, which Python by itself does not."""
    end = time.monotonic() + seconds
    while not _caught(process) & 1 << (signal.SIGTERM - 1):
        assert time.monotonic() < end, "bkctl never came so far"
        time.sleep(0.01)


def _caught(process: int) -> int:
    """Bit mask of the signals that a process catches."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))


def show(document: dict[str, Any]) -> str:
    """A document as a failing test prints it, whole."""
    return json.dumps(document, indent=1).replace("\\n", "\n")
