"""What becomes of a schedule that is due: a run, one that stands for it, or a note that it was missed.

How far a schedule has come is written in one breath with the job that it led to: a kill at any moment neither loses a
run nor begins one twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial

from backupd.catalog import schedules as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import Beside
from backupd.catalog.schedules import Handled
from backupd.clock import Clock, to_datetime
from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.daemon.missed_runs import missed_job, runs
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.rules.schedules.deciding import Due
from backupd.rules.schedules.reading import Schedule
from backupd.rules.schedules.words import shown_moment

Noted = Callable[[datetime], Handled]
"""Up to when all is decided -> the row that says so."""
Kept = Callable[[Handled], None]
"""Told of each such row that was written."""

_log = logging.getLogger("backupd.schedules")


class DueRuns:
    """All on the event loop."""

    def __init__(self, database: Database, jobs: Jobs, clock: Clock, why_held: Callable[[LiveJob], str]) -> None:
        """why_held: why a job that waits may not begin yet; empty: it may."""
        self._database, self._jobs, self._clock, self._why_held = database, jobs, clock, why_held
        self._stood: dict[str, tuple[datetime, str]] = {}
        """Set id -> moment for which its newest run was begun, and the job."""

    async def act(
        self, stored: StoredSet, schedule: Schedule, due: Due, zone: tzinfo, noted: Noted, kept: Kept
    ) -> None:
        """Do what a due schedule asks for. Raises StateFullError, DaemonBusyError: what was not kept is due again."""
        missed = due.missed_count(schedule)
        if missed:
            last = due.last_missed(schedule)
            row, job_id = noted(last), self._jobs.new_id()
            note = missed_job(stored, schedule, due, zone, job_id=job_id, now_ns=self._clock.now_ns())
            await self._jobs.note_missed(note, partial(rows.put_handled, one=row))
            kept(row)
            span = f"from {shown_moment(due.first, zone)} to {shown_moment(last, zone)}"
            say(stored, schedule.text.name, f"{runs(missed)} missed, {span}: nobody was there")
        if due.begins(schedule):
            row = noted(due.at)
            now = to_datetime(self._clock.now_ns()).astimezone(zone)
            said = await self._begin(stored, schedule, due.at, now, partial(rows.put_handled, one=row))
            kept(row)
            why = f"due {shown_moment(due.at, zone)}"
            made_up_for = due.count - missed
            if made_up_for > 1 or due.is_late:
                why += f", for {runs(made_up_for)} since {shown_moment(due.first, zone)}"
            say(stored, schedule.text.name, f"{why}: {said}")

    async def _begin(self, stored: StoredSet, schedule: Schedule, at: datetime, now: datetime, beside: Beside) -> str:
        """Begin a run, unless another one stands for it; what was done, in words. now: in the set's zone."""
        busy, request = self._jobs.is_busy(stored.id), request_of(schedule)
        waits = busy is not None and not busy.is_begun and busy.stored.schedule is not None
        held = self._why_held(busy) if busy is not None and waits else ""
        if busy is not None and not held and self._stood.get(stored.id) == (at, busy.stored.id):
            await self._write(beside)
            return f"job {busy.stored.id[:9]}, of the same moment, stands for it"
        if busy is not None and waits:
            is_partial = busy.request.backup is not None and busy.request.backup.attempt > 0
            is_open = schedule.window is None or schedule.window.holds(now)
            if (held or is_partial) and is_open:
                # Whose window is shut, or who is to try again at one destination, gives way to a whole run.
                await self._jobs.replace(busy, JobRequest(kind="backup", backup=request), beside)
                self._stood[stored.id] = (at, busy.stored.id)
                return f"job {busy.stored.id[:9]}, which waited, is for it now"
            await self._write(beside)
            return f"job {busy.stored.id[:9]}, which waits, stands for it"
        if busy is not None and (schedule.text.overlap == "skip" or self._waits(stored)):
            await self._write(beside)
            busy.passed_over += 1
            said = f"not begun, for job {busy.stored.id[:9]} of the set is under way"
            busy.log("information", f"schedule {schedule.text.name} is due: {said}")
            return said
        job = await self._jobs.add(
            JobRequest(kind="backup", backup=request),
            set_id=stored.id,
            set_name=stored.text.name,
            uid=os.geteuid(),
            beside=beside,
        )
        self._stood[stored.id] = (at, job.stored.id)
        return f"job {job.stored.id[:9]} begun"

    def _waits(self, stored: StoredSet) -> bool:
        """Whether a backup of the set waits already."""
        return any(
            job.stored.kind == "backup" and job.stored.set_id == stored.id and not job.is_begun
            for job in self._jobs.live.values()
        )

    async def _write(self, beside: Beside) -> None:
        await asyncio.wrap_future(self._database.write(beside))


def request_of(schedule: Schedule) -> BackupRequest:
    """A run of a schedule, at all destinations of its set."""
    text = schedule.text
    return BackupRequest(
        stop_after_seconds=schedule.stop_after_seconds,
        retention=text.retention,
        schedule=text.name,
        window=text.window,
    )


def say(stored: StoredSet, name: str, what: str) -> None:
    """A decision about a schedule, for the log."""
    _log.info("schedule %s of %s: %s", name, stored.text.name, what)
