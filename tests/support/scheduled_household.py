"""The daemon's catalog, queue, jobs and scheduler on a clock that a test sets; only the work of a run is left out.

A run takes a drawn time, or as long as the test says, and is good unless the test says how it ends.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from backupd.catalog.database import Database
from backupd.clock import to_datetime
from backupd.daemon.definitions import Definitions
from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.scheduling import Scheduler

_DAY = timedelta(days=1)


@contextmanager
def state_in_memory() -> Generator[Path, None, None]:
    """A state directory that costs no disk."""
    found = Path(tempfile.mkdtemp(prefix="year-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        yield found
    finally:
        shutil.rmtree(found, ignore_errors=True)


@dataclass
class Year:
    """The clock, and whose work ends when."""

    start: datetime
    days: int
    now_ns_: int
    ends: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    random: Random = field(default_factory=lambda: Random(1))
    seconds: int | None = None
    """How long each run takes; None: as it is drawn."""
    outcomes: deque[Outcome] = field(default_factory=deque)
    """How the next runs end; then all are good."""

    def now_ns(self) -> int:
        return self.now_ns_

    def monotonic(self) -> float:
        return self.now_ns_ / 1e9

    @property
    def end(self) -> datetime:
        return self.start + self.days * _DAY

    @property
    def now(self) -> datetime:
        return to_datetime(self.now_ns_)

    def set(self, moment: datetime) -> None:
        self.now_ns_ = int(moment.timestamp()) * 1_000_000_000


class Worker:
    """In place of the job process: a run takes a drawn time."""

    _numbers = itertools.count()

    def __init__(self, year: Year) -> None:
        self._year = year
        self.at_work = 0

    def new_id(self) -> str:
        return f"j{next(self._numbers):032x}"

    def destinations_of(self, job: LiveJob) -> frozenset[str]:
        return frozenset()

    def limits(self) -> dict[str, int]:
        return {}

    async def carry(self, job: LiveJob) -> Outcome:
        done = asyncio.get_running_loop().create_future()
        # Some outlast the quarter of an hour after which they are due again.
        seconds = self._year.seconds or self._year.random.randrange(20, 1300)
        heapq.heappush(self._year.ends, (self._year.now_ns_ + seconds * 10**9, next(self._numbers), done))
        self._year.begun[f"{job.stored.set_name}/{job.stored.schedule}"] += 1
        self.at_work += 1
        try:
            await done
        finally:
            self.at_work -= 1
        return self._year.outcomes.popleft() if self._year.outcomes else Outcome(exit_code=0, result={"runs": []})


class Household:
    """The daemon's parts, made anew after each restart from the same catalog."""

    def __init__(self, state: Path, year: Year) -> None:
        self.state, self.year = state, year

    async def begin(self) -> None:
        self.database = Database(str(self.state))
        self.known = Definitions(self.database, self.year)
        await self.known.reload()
        self.worker = Worker(self.year)
        self.jobs = Jobs(self.database, self.worker, self.year, 64)  # type: ignore[arg-type]
        self.scheduler = Scheduler(self.database, self.known, self.jobs, self.year, {"TZ": "Europe/Berlin"})
        await self.scheduler.start()

        async def no_orphans(_: object) -> None:
            return

        await self.jobs.restore_from_catalog(no_orphans)

    async def settle(self) -> None:
        """Until all that may begin has begun, and all that is done has ended."""

        def is_moving() -> bool:
            jobs = self.jobs.live.values()
            about_to_begin = any(job.stored.state == "queued" and not job.waits_for for job in jobs)
            return about_to_begin or self.worker.at_work != sum(job.is_begun for job in jobs)

        while is_moving() or self.scheduler._retries._tasks:
            await asyncio.sleep(0.0002)

    async def step(self) -> None:
        """All that is to be done at this moment."""
        while self.year.ends and self.year.ends[0][0] <= self.year.now_ns_:
            _, _, done = heapq.heappop(self.year.ends)
            if not done.done():
                done.set_result(None)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await self.settle()
        await self.scheduler.look()
        await self.settle()

    def next_moment(self) -> datetime:
        """When something is to be done again."""
        begins = [one.begins for one in self.scheduler._known.values() if one.begins is not None]
        begins += [
            to_datetime(request.not_before_ns)
            for job in self.jobs.live.values()
            if (request := job.request.backup) is not None and request.not_before_ns > self.year.now_ns_
        ]
        ends = [to_datetime(self.year.ends[0][0])] if self.year.ends else []
        return min([*begins, *ends, self.year.now + _DAY])

    async def go_to(self, moment: datetime) -> None:
        """Let the time pass, with all that is to be done on the way."""
        while self.year.now < moment:
            self.year.set(min(max(self.next_moment(), self.year.now + timedelta(seconds=1)), moment))
            await self.step()

    async def kill(self) -> None:
        """Nothing is written any more, and what ran is gone."""
        for task in list(self.jobs._tasks) + list(self.scheduler._retries._tasks):
            task.cancel()
        await asyncio.sleep(0)
        self.year.ends.clear()
        self.database.close()
