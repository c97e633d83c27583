"""A backup set whose runs take seconds, without a large source: text that is hard to compress, one worker, `best`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.support.daemon import Daemon
from tests.support.running import children, kill

MIB = 1 << 20


def fill(source: Path, mib: int, seed: int = 1) -> None:
    """Make a source of files of 2 MiB."""
    source.mkdir(parents=True, exist_ok=True)
    random = Random(seed)
    for number in range(mib // 2):
        (source / f"{seed}-{number}").write_text(random.randbytes(MIB).hex())


def make(daemon: Daemon, name: str, *places: Path, mib: int = 16, seed: int = 1) -> Path:
    """Make such a set, its source filled; gives the source."""
    source = daemon.home / f"source-{name}"
    fill(source, mib, seed)
    to = [word for place in places for word in ("--to", place)]
    daemon.good("set", "create", name, "--source", source, *to, "--compression", "best", "--jobs", "1")
    return source


def begin(daemon: Daemon, name: str, *words: str) -> str:
    """Begin a run and leave it; id of its job."""
    jobs = daemon.good("backup", name, "--detach", *words)["jobs"]
    found: str = jobs[0]["id"]
    return found


def job(daemon: Daemon, job_id: str) -> dict[str, Any]:
    """The job as it stands."""
    found: dict[str, Any] = daemon.good("job", "show", job_id)["job"]
    return found


def read_bytes(daemon: Daemon, job_id: str) -> int:
    """How much the run has read so far."""
    return int((job(daemon, job_id)["progress"] or {"bytes_done": 0})["bytes_done"])


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def wait_until_announced(place: Path) -> None:
    """Wait until the run is about to read."""
    wait_for(lambda: any(place.glob("*/sessions/*/*")))


@contextmanager
def held(daemon: Daemon) -> Generator[None, None, None]:
    """The workers of the daemon's only job stand still: what the block looks at can't end meanwhile."""
    assert daemon.process is not None
    own = daemon.process.pid
    workers: set[int] = set()

    def are_held() -> bool:
        workers.update(found := {worker for job in children(own) for worker in children(job)})
        for worker in found:
            kill(worker, signal.SIGSTOP)
        return bool(found)

    wait_for(are_held)
    try:
        yield
    finally:
        for worker in workers:
            kill(worker, signal.SIGCONT)


def kill_jobs(daemon: Daemon) -> None:
    """kill -9 of all jobs of the daemon, and of their workers."""
    assert daemon.process is not None
    for process in list(children(daemon.process.pid)):
        for each in (process, *children(process)):
            kill(each)


def wait_until_storing(daemon: Daemon, job_id: str) -> None:
    """Wait until the run has stored something."""
    wait_for(lambda: read_bytes(daemon, job_id) > 0)


def shown(found: object) -> str:
    """For a failing test."""
    return json.dumps(found, indent=1)
