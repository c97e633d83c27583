"""All jobs of the daemon: taken on, begun in turn, followed, ended; what became of them goes to the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob
from backupd.clock import Clock
from backupd.daemon import queue
from backupd.daemon.carrying import Carrier
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.requests import JobRequest
from backupd.errors import BackupError, ConflictError, JobNotFoundError
from backupd.model.jobs import ENDED, TRANSITIONS, JobState, ended_state
from backupd.model.orders import Answer, CancelRequest, PauseRequest, StateRequest
from backupd.rules import names

_FLUSH_SECONDS = 0.5

Carry = Callable[[LiveJob], Awaitable[Outcome]]


class Jobs:
    """The jobs that have not ended, and the way to those that have. Everything runs on the event loop."""

    def __init__(self, database: Database, carrier: Carrier, clock: Clock, most: int) -> None:
        self._database, self._carrier, self._clock, self.most = database, carrier, clock, most
        self.live: dict[str, LiveJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        """Sets on which an orphan of a former daemon may still be at work."""
        self.is_stopping = False

    # Taking on

    async def add(self, request: JobRequest, *, set_id: str | None, set_name: str | None, uid: int) -> LiveJob:
        """Take a job on. Raises StateFullError."""
        stored = StoredJob(
            id=self._carrier.new_id(),
            kind=request.kind,
            state="queued",
            set_id=set_id,
            set_name=set_name,
            orders=request.stored(),
            caller_uid=uid,
            created_ns=self._clock.now_ns(),
        )
        job = LiveJob(stored, request, self._clock)
        await asyncio.wrap_future(self._database.write(rows.put_job, stored))
        self.live[stored.id] = job
        self.turn()
        return job

    async def restore_from_catalog(self, free_of_orphans: Callable[[StoredJob], Awaitable[None]]) -> None:
        """After a start: jobs that waited wait again; those that ran are interrupted once their processes are gone.

        free_of_orphans: waits until no process of a former daemon holds the job's set.
        """
        for stored in await asyncio.wrap_future(self._database.read(rows.unended)):
            logged = await asyncio.wrap_future(self._database.read(rows.log_length, stored.id))
            try:
                job = LiveJob(stored, JobRequest.restored(stored.orders), self._clock, logged)
            except msgspec.MsgspecError:
                job = LiveJob(stored, JobRequest(kind="check"), self._clock, logged)
                self.live[stored.id] = job
                await self._end(job, Outcome.of(BackupError("the job was queued by another version of backupd")))
                continue
            self.live[stored.id] = job
            if stored.set_id is not None:
                self._held.add(stored.set_id)
            self._start(self._recover(job, free_of_orphans))
        self.turn()

    async def _recover(self, job: LiveJob, free_of_orphans: Callable[[StoredJob], Awaitable[None]]) -> None:
        await free_of_orphans(job.stored)
        if job.stored.set_id is not None:
            self._held.discard(job.stored.set_id)
        if job.stored.state in ("running", "paused"):
            await self._end(job, Outcome.interrupted("backupd ended while the job ran"))
        self.turn()

    # Turns

    def turn(self) -> None:
        """Begin what may begin."""
        if self.is_stopping:
            return
        waiting = [job.seen() for job in self.live.values() if job.stored.state == "queued" and not job.is_begun]
        running = [job.seen() for job in self.live.values() if job.is_begun]
        free = [one for one in waiting if one.set_id not in self._held]
        decided = queue.decide(free, running, self.most)
        for job in self.live.values():
            job.waits_for = decided.waits_for.get(job.stored.id, "")
        for job_id in decided.begin:
            job = self.live[job_id]
            job.is_begun = True
            self._start(self._run(job))

    async def _run(self, job: LiveJob) -> None:
        try:
            await self._move(job, "running")
            flusher = asyncio.create_task(self._flush_now_and_then(job))
            try:
                outcome = await self._carrier.carry(job)
            finally:
                flusher.cancel()
        except BackupError as error:
            outcome = Outcome.of(error)
        if self.is_stopping and outcome.was_stopped and job.asked_to_end is None:
            # The daemon restarts, the job goes on with the next one.
            await self._move(job, "queued")
            job.end(None)
            del self.live[job.stored.id]
            return
        await self._end(job, outcome)
        self.turn()

    async def _end(self, job: LiveJob, outcome: Outcome) -> None:
        stored = job.stored
        stored.exit_code, stored.result, stored.error = outcome.exit_code, outcome.result, outcome.error
        stored.warnings = outcome.warnings
        stored.finished_ns = self._clock.now_ns()
        job.log("error" if outcome.error else "information", outcome.sentence)
        await self._flush(job)
        state = ended_state(outcome.exit_code, outcome.problem_count)
        try:
            await self._move(job, state)
        finally:
            job.end(outcome.last_word())
            del self.live[stored.id]

    async def _move(self, job: LiveJob, state: JobState) -> None:
        stored = job.stored
        if state not in TRANSITIONS[stored.state]:
            raise AssertionError(f"a job can't go from {stored.state} to {state}")
        stored.state = state
        if state == "running" and stored.started_ns is None:
            stored.started_ns = self._clock.now_ns()
        await asyncio.wrap_future(self._database.write_always(rows.put_job, msgspec.structs.replace(stored)))

    # What callers ask of jobs

    async def find(self, word: str) -> StoredJob:
        """A job by its id or the begin of it. Raises JobNotFoundError, AmbiguousNameError."""
        found = {job.stored.id: job.stored for job in self.live.values() if job.stored.id.startswith(word)}
        if names.is_id(word, "j"):
            for stored in await asyncio.wrap_future(self._database.read(rows.find, word)):
                found.setdefault(stored.id, stored)
        if not names.is_id(word, "j"):
            raise JobNotFoundError(f"'{word}' is no job", hint="bkctl job list shows them")
        return found[names.match_prefix(word, found, JobNotFoundError)]

    async def cancel(self, job_id: str, signal_name: str) -> bool:
        """Ask a job to end; False when it has ended already."""
        job = self.live.get(job_id)
        if job is None:
            return False
        job.asked_to_end = signal_name
        if not job.is_begun:
            job.is_begun = True
            await self._end(job, Outcome.interrupted("cancelled before it began", exit_code=5))
            self.turn()
        elif job.child is not None:
            if job.stored.state == "paused":
                await self.pause(job_id, is_paused=False)
            await job.child.send(CancelRequest(signal="int"))
            self._start(self._kill_late(job))
        return True

    async def pause(self, job_id: str, *, is_paused: bool) -> bool:
        """Have a job wait or go on; False when it does so already. Raises ConflictError unless it runs."""
        job = self.live.get(job_id)
        if job is None or job.child is None or job.stored.state not in ("running", "paused"):
            raise ConflictError("the job is not running", hint="only a running job can be paused")
        state: JobState = "paused" if is_paused else "running"
        if job.stored.state == state:
            return False
        await job.child.send(PauseRequest(paused=is_paused))
        await self._move(job, state)
        job.log("information", "paused" if is_paused else "goes on")
        return True

    async def answer(self, job_id: str, number: int, text: str) -> None:
        """Pass a caller's answer on. Raises ConflictError when the job is not running."""
        job = self.live.get(job_id)
        if job is None or job.child is None:
            raise ConflictError("the job is not running")
        await job.child.send(Answer(ask=number, text=text))

    async def ask_state(self, job_id: str) -> None:
        """Have a job say at once where it stands."""
        job = self.live.get(job_id)
        if job is not None and job.child is not None:
            await job.child.send(StateRequest())

    async def stop(self) -> None:
        """Have every running job checkpoint and end; it goes on after the next start."""
        self.is_stopping = True
        running = [job for job in self.live.values() if job.child is not None]
        for job in running:
            if job.child is not None:
                await job.child.send(PauseRequest(paused=False))
                await job.child.send(CancelRequest(signal="term"))
        late = [asyncio.create_task(self._kill_late(job)) for job in running]
        while self._tasks - set(late) and any(job.is_begun for job in self.live.values()):
            await asyncio.wait(list(self._tasks), timeout=0.5)
        for task in (*late, *self._tasks):
            task.cancel()

    async def _kill_late(self, job: LiveJob) -> None:
        """Ten seconds are enough for a checkpoint (DESIGN 1)."""
        await asyncio.sleep(10)
        if job.child is not None:
            job.child.kill()

    # The log

    async def _flush_now_and_then(self, job: LiveJob) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush(job)

    async def _flush(self, job: LiveJob) -> None:
        lines = job.take_unwritten()
        if lines:
            await asyncio.wrap_future(self._database.write_always(rows.add_log, job.stored.id, lines))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def counts(self) -> Mapping[str, int]:
        """How many jobs run and wait."""
        states = [job.stored.state for job in self.live.values()]
        return {"running": sum(s in ("running", "paused") for s in states), "queued": states.count("queued")}

    def is_busy(self, set_id: str) -> LiveJob | None:
        """The set's backup that waits or runs."""
        jobs = (j for j in self.live.values() if j.stored.kind == "backup" and j.stored.set_id == set_id)
        return next((job for job in jobs if job.stored.state not in ENDED), None)
