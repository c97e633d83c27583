"""A backup set whose runs take seconds, without a large source: text that is hard to compress, one worker, `best`."""

from __future__ import annotations

import fcntl
import json
import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from tests.support.daemon import Daemon
from tests.support.machine import Machine
from tests.support.plugins.sitecustomize import GATE
from tests.support.raw_http import Raw, body_of
from tests.support.running import Run, children, kill

MIB = 1 << 20
_SLICE_SECONDS = 0.04

Started = TypeVar("Started")
UnderWay = Daemon | Run
"""What has jobs below it."""


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
    """How much the run has read so far; asked without bkctl, whose start takes longer than many a run."""
    with Raw(daemon.socket, f"GET /v1/jobs/{job_id} HTTP/1.0\r\n\r\n".encode()) as connection:
        found = body_of(connection.rest())
    return int((found["progress"] or {"bytes_done": 0})["bytes_done"])


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so; what takes long is looked at less often, for looking takes a processor, too."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, "waited in vain"
        time.sleep(min(0.15, max(0.02, waited / 10)))


def wait_until_announced(place: Path) -> None:
    """Wait until the run is about to read."""
    wait_for(lambda: any(place.glob("*/sessions/*/*")))


@contextmanager
def gate(programs: Daemon | Machine) -> Generator[None, None, None]:
    """Workers that start while the block runs do nothing before it ends, however fast the machine is."""
    path = programs.home / GATE
    with path.open("wb") as closed:
        fcntl.flock(closed, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink()


@contextmanager
def begun(daemon: Daemon, name: str, *words: str) -> Generator[str, None, None]:
    """Begin a run whose workers stand still from their first moment until the block ends; id of its job."""
    with standing(daemon, lambda: begin(daemon, name, *words)) as found:
        yield found


@contextmanager
def standing(daemon: Daemon, start: Callable[[], Started]) -> Generator[Started, None, None]:
    """The same for what begins a run in another way; gives what that gave."""
    with ExitStack() as stack:
        with gate(daemon):
            found = start()
            stack.enter_context(held(daemon))
        yield found


@contextmanager
def standing_alone(machine: Machine, *words: str | Path) -> Generator[Run, None, None]:
    """`bkctl` without a daemon, the workers of its job held in the same way."""
    with ExitStack() as stack:
        with gate(machine):
            run = Run(machine, *words)
            stack.enter_context(held(run))
        yield run


@contextmanager
def held(daemon: UnderWay) -> Generator[None, None, None]:
    """The workers of the daemon's only job stand still: what the block looks at can't end meanwhile.

    For a job that may be at its end before it is held there is `begun`.
    """
    seen: set[int] = set()

    def are_held() -> bool:
        found = _signal_workers(daemon, signal.SIGSTOP)
        seen.update(found)
        return bool(found)

    wait_for(are_held)
    try:
        yield
    finally:
        _signal_workers(daemon, signal.SIGCONT)
        for orphan in seen:
            kill(orphan, signal.SIGCONT)


def kill_jobs(daemon: Daemon) -> None:
    """kill -9 of all jobs of the daemon, and of their workers."""
    assert daemon.process is not None
    for process in list(children(daemon.process.pid)):
        for each in (process, *children(process)):
            kill(each)


def go_on_until(daemon: UnderWay, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Where they are held: let the workers go on, a moment at a time, until something is so; then they stand still.

    What is so after they read a certain amount is seen soon after, and not at the end of the run.
    """

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        _signal_workers(daemon, signal.SIGCONT)
        time.sleep(_SLICE_SECONDS)
        _signal_workers(daemon, signal.SIGSTOP)


def _signal_workers(daemon: UnderWay, number: int) -> set[int]:
    assert daemon.process is not None
    found = {worker for job in children(daemon.process.pid) for worker in children(job) if _is_worker(worker)}
    for worker in found:
        kill(worker, number)
    return found


def _is_worker(process: int) -> bool:
    """Whether it has become one: who starts a process waits until it has, so one stopped before stops its job, too."""
    try:
        return b"backupd.worker" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def go_on_until_stored(daemon: Daemon, job_id: str) -> None:
    """The same until the run has stored something, which are 8 MiB."""
    go_on_until(daemon, lambda: read_bytes(daemon, job_id) > 0)


def shown(found: object) -> str:
    """For a failing test."""
    return json.dumps(found, indent=1)
