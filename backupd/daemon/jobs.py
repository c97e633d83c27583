"""All jobs of the daemon: taken on, begun in turn, followed, ended; what became of them goes to the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.jobs import Beside, StoredJob
from backupd.clock import Clock
from backupd.daemon import queue
from backupd.daemon.carrying import Carrier
from backupd.daemon.child import ChildJob
from backupd.daemon.flood import refuse_flood
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.requests import JobRequest
from backupd.daemon.run_commands import FollowUp
from backupd.errors import BackupError, ConflictError, JobNotFoundError
from backupd.model.jobs import ENDED, TRANSITIONS, WRITING, JobState, ended_state
from backupd.model.steering import Answer, CancelRequest, PauseRequest, StateRequest
from backupd.rules import names
from backupd.rules.schedules.coming import overrun

_FLUSH_SECONDS = 0.5
_UPKEEP_SECONDS = 30.0
_GRACE_SECONDS = 10.0
"""Enough for a checkpoint (DESIGN 1)."""

_log = logging.getLogger("backupd.jobs")


class Jobs:
    """The jobs that have not ended, and the way to those that have. Everything runs on the event loop."""

    def __init__(self, database: Database, carrier: Carrier, clock: Clock, most: int) -> None:
        self._database, self._carrier, self._clock, self.most = database, carrier, clock, most
        self.live: dict[str, LiveJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()
        """Sets on which an orphan of a former daemon may still be at work."""
        self._unrecorded: dict[str, StoredJob] = {}
        """Jobs whose end found no room on the disk, not even in the reserve."""
        self.is_stopping = False
        self.holds: Callable[[LiveJob], str] = lambda job: ""
        """Why a waiting job may not begin yet, though its turn has come; empty: it may."""
        self.follow_up = FollowUp()
        self._hearers: list[Callable[[StoredJob], None]] = []
        self._tell_moved: Callable[[], None] = lambda: None
        self._begin_hearers: list[Callable[[StoredJob], None]] = []

    def follow_moves(self, tell: Callable[[], None]) -> None:
        """Have it told that a job was taken on, began or ended; on the event loop. One follower."""
        self._tell_moved = tell

    def follow_begins(self, hear: Callable[[StoredJob], None]) -> None:
        """Have each job that begins told once that is in the catalog; on the event loop."""
        self._begin_hearers.append(hear)

    def follow_ends(self, hear: Callable[[StoredJob], None]) -> None:
        """Have each job that has ended, or was missed, told once it is in the catalog; on the event loop."""
        self._hearers.append(hear)

    def _tell_end(self, stored: StoredJob) -> None:
        for hear in self._hearers:
            hear(stored)

    # Taking on

    async def add(
        self, request: JobRequest, *, set_id: str | None, set_name: str | None, uid: int, beside: Beside | None = None
    ) -> LiveJob:
        """Take a job on. Raises DaemonBusyError, StateFullError.

        beside: what else is written to the catalog in the same breath.
        """
        orders = request.stored()
        mine = [job.stored for job in self.live.values() if job.stored.caller_uid == uid]
        refuse_flood(mine, request.kind, len(orders))
        stored = StoredJob(
            id=self._carrier.new_id(),
            kind=request.kind,
            state="queued",
            set_id=set_id,
            set_name=set_name,
            orders=orders,
            caller_uid=uid,
            created_ns=self._clock.now_ns(),
            schedule=request.backup.schedule if request.backup is not None else None,
        )
        job = LiveJob(stored, request, self._clock)
        await asyncio.wrap_future(self._database.write(rows.put_job, stored, beside))
        self.live[stored.id] = job
        self.turn()
        return job

    async def replace(self, job: LiveJob, request: JobRequest, beside: Beside) -> None:
        """Have a job that has not begun do something else of its kind. Raises StateFullError: it is as before then."""
        stored, former = job.stored, (job.request, job.stored.orders, job.stored.schedule)
        job.request, stored.orders = request, request.stored()
        stored.schedule = request.backup.schedule if request.backup is not None else None
        try:
            await asyncio.wrap_future(self._database.write(rows.put_job, msgspec.structs.replace(stored), beside))
        except BackupError:
            job.request, stored.orders, stored.schedule = former
            raise
        self.turn()

    async def note_missed(self, stored: StoredJob, beside: Beside) -> None:
        """Keep a run that was due and never began. Raises StateFullError."""
        await asyncio.wrap_future(self._database.write(rows.put_job, stored, beside))
        self._tell_end(stored)

    def new_id(self) -> str:
        """Of a new job."""
        return self._carrier.new_id()

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
            if stored.kind in WRITING and stored.set_id is not None:
                self._held[stored.set_id] += 1
            self._start(self._recover(job, free_of_orphans))
        self.turn()

    async def _recover(self, job: LiveJob, free_of_orphans: Callable[[StoredJob], Awaitable[None]]) -> None:
        if job.stored.kind in WRITING and job.stored.set_id is not None:
            await free_of_orphans(job.stored)
        if job.stored.state in ("running", "paused"):
            outcome = Outcome.interrupted("backupd ended while the job ran")
            await self._end(job, await self.follow_up.after_interruption(job, outcome))
        if job.stored.kind in WRITING and job.stored.set_id is not None:
            self._held[job.stored.set_id] -= 1
        self.turn()

    # Turns

    def turn(self) -> None:
        """Begin what may begin."""
        if self.is_stopping:
            return
        seen = {job.stored.id: job.seen(self._carrier.destinations_of(job)) for job in self.live.values()}
        waiting = [
            seen[job.stored.id] for job in self.live.values() if job.stored.state == "queued" and not job.is_begun
        ]
        running = [seen[job.stored.id] for job in self.live.values() if job.is_begun]
        held = {
            one.id: "the end of a process of a former backupd"
            for one in waiting
            if one.kind != "restore" and self._held[one.set_id or ""]
        }
        held |= {one.id: why for one in waiting if (why := self.holds(self.live[one.id]))}
        able = [one for one in waiting if one.id not in held]
        decided = queue.decide(able, running, self.most, self._carrier.limits())
        for job in self.live.values():
            job.waits_for = decided.waits_for.get(job.stored.id, held.get(job.stored.id, ""))
        for job_id in decided.begin:
            job = self.live[job_id]
            job.is_begun = True
            self._start(self._run(job))
        self._tell_moved()

    async def _run(self, job: LiveJob) -> None:
        try:
            await self._move(job, "running")
            for hear in self._begin_hearers:
                hear(msgspec.structs.replace(job.stored))
            if job.request.is_paused:
                await self._move(job, "paused")
            flusher = asyncio.create_task(self._flush_now_and_then(job))
            try:
                outcome = await self._carrier.carry(job)
            finally:
                flusher.cancel()
                # What it was about to write is put back before the last lines are written.
                await asyncio.wait([flusher])
        except BackupError as error:
            outcome = Outcome.of(error)
        except Exception:
            hint = "the log of backupd tells more; please report it"
            await self._end(job, Outcome.of(BackupError("backupd met a defect of its own", hint=hint)))
            self.turn()
            raise
        if self.is_stopping and job.is_cut_short and not job.asked_to_end:
            await self._leave_to_the_next(job)
            return
        await self._end(job, outcome)
        self.turn()
        await self._keep_up()

    async def _end(self, job: LiveJob, outcome: Outcome) -> None:
        stored, finished_ns = job.stored, self._clock.now_ns()
        warnings = list(outcome.warnings)
        if job.passed_over:
            took_ns = finished_ns - (stored.started_ns or stored.created_ns)
            warnings.append(overrun(job.passed_over, took_ns / 1e9))
            job.note("warning", warnings[-1])
        job.end_step()
        job.note("error" if outcome.error else "information", outcome.sentence)
        try:
            try:
                await self._flush(job, is_last=True)
            finally:
                # Together with the state: who asks meanwhile sees no job that has ended and is running.
                job.settle(outcome, warnings, finished_ns)
            await self._move(job, ended_state(outcome.exit_code, outcome.problem_count))
            self._tell_end(stored)
            outcome = await self.follow_up.after_end(job, outcome)
        except BackupError as error:
            _log.error("the end of job %s is not recorded yet: %s", stored.id, error.message)
            self._unrecorded[stored.id] = stored
        finally:
            job.end(outcome.last_word())
            del self.live[stored.id]

    async def _leave_to_the_next(self, job: LiveJob) -> None:
        """The daemon restarts, and the job goes on with it, paused if it was."""
        stored = job.stored
        is_paused = stored.state == "paused" and not job.is_out_of_window
        stored.orders = msgspec.structs.replace(job.request, is_paused=is_paused).stored()
        job.log("information", "backupd is stopped; the job goes on when it runs again")
        try:
            await self._flush(job, is_last=True)
            await self._move(job, "queued")
        except BackupError as error:
            _log.error("job %s will be taken for interrupted: %s", stored.id, error.message)
        finally:
            job.end(None)
            del self.live[stored.id]

    async def _move(self, job: LiveJob, state: JobState) -> None:
        stored = job.stored
        if state not in TRANSITIONS[stored.state]:
            raise AssertionError(f"a job can't go from {stored.state} to {state}")
        stored.state = state
        if state == "running" and stored.started_ns is None:
            stored.started_ns = self._clock.now_ns()
        # A begin may fail for want of room; to end, the reserve is given up.
        write = self._database.write if state in ("running", "paused") else self._database.write_always
        await asyncio.wrap_future(write(rows.put_job, msgspec.structs.replace(stored)))
        self._tell_moved()

    # What callers ask of jobs

    async def find(self, word: str, uid: int | None = None) -> StoredJob:
        """A job by its id or the begin of it. Raises JobNotFoundError, AmbiguousNameError.

        uid: of the user among whose jobs it is; None: among all.
        """
        if not names.is_id(word, "j"):
            raise JobNotFoundError(f"'{word}' is no job", hint="bkctl job list shows them")
        live = [job.stored for job in self.live.values() if uid in (None, job.stored.caller_uid)]
        found = {stored.id: stored for stored in live if stored.id.startswith(word)}
        for stored in await asyncio.wrap_future(self._database.read(rows.find, word, uid)):
            found.setdefault(stored.id, stored)
        return found[names.match_prefix(word, found, JobNotFoundError)]

    async def cancel(self, job_id: str, signal_name: Literal["int", "term"]) -> bool:
        """Ask a job to end, the second time at once; False when it has ended already."""
        job = self.live.get(job_id)
        if job is None:
            return False
        is_again, job.asked_to_end = job.asked_to_end, True
        await asyncio.to_thread(self._database.make_room)
        if not job.is_begun:
            job.is_begun = True
            await self._end(job, Outcome.interrupted("cancelled before it began"))
            self.turn()
        elif is_again and job.child is not None:
            job.child.kill()
        else:
            await self._tell_to_end(job, CancelRequest(signal=signal_name))
            self._start(self._kill_late(job, job.child))
        return True

    async def _tell_to_end(self, job: LiveJob, message: CancelRequest) -> None:
        job.ending = message
        if job.child is not None:
            await job.child.send(message)

    async def pause(self, job_id: str, *, is_paused: bool) -> bool:
        """Have a job wait or go on; False when it does so already. Raises ConflictError unless it runs."""
        job = self.live.get(job_id)
        if job is None or job.stored.state not in ("running", "paused"):
            raise ConflictError("the job is not running", hint="only a running job can be paused")
        state: JobState = "paused" if is_paused else "running"
        if job.stored.state == state:
            return False
        former = job.stored.state
        try:
            await self._move(job, state)
        except BackupError:
            if job.stored.state == state:
                job.stored.state = former
            raise
        if job.child is not None:
            await job.child.send(PauseRequest(paused=is_paused))
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
        running = [job for job in self.live.values() if job.is_begun]
        for job in running:
            await self._tell_to_end(job, CancelRequest(signal="term"))
        late = [asyncio.create_task(self._kill_late(job, job.child)) for job in running]
        while self._tasks and any(job.is_begun for job in self.live.values()):
            await asyncio.wait(list(self._tasks), timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        for task in (*late, *self._tasks):
            task.cancel()

    async def _kill_late(self, job: LiveJob, child: ChildJob | None) -> None:
        """Not what came after it: a command that undoes what was done before the run has a time of its own."""
        await asyncio.sleep(_GRACE_SECONDS)
        if child is not None and job.child is child:
            child.kill()

    # The log

    async def _flush_now_and_then(self, job: LiveJob) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            with suppress(BackupError):
                await self._flush(job)

    async def _flush(self, job: LiveJob, *, is_last: bool = False) -> None:
        """Write what the log lacks. A full disk keeps it waiting, until the last time: then the reserve is given up."""
        lines = job.take_unwritten()
        if not lines:
            return
        write = self._database.write_always if is_last else self._database.write
        try:
            await asyncio.wrap_future(write(rows.add_log, job.stored.id, lines))
        except BaseException:
            job.put_back(lines)
            raise

    async def keep_up(self) -> None:
        """For ever: what is to be done now and then."""
        while True:
            await asyncio.sleep(_UPKEEP_SECONDS)
            await self._keep_up()

    async def _keep_up(self) -> None:
        """Make the reserve again where there is room, record ends that found none."""
        await asyncio.to_thread(self._database.keep_reserve)
        for job_id, stored in list(self._unrecorded.items()):
            with suppress(BackupError):
                await asyncio.wrap_future(self._database.write_always(rows.put_job, stored))
                self._unrecorded.pop(job_id, None)
                self._tell_end(stored)

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
