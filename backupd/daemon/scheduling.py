"""The sets' schedules at work: looks what is due, has it done, keeps how far each has come.

What is due is decided by backupd/rules/schedules; how far that has come is in the catalog.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from backupd.catalog import schedules as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredSet
from backupd.catalog.schedules import Handled
from backupd.clock import Clock, to_datetime
from backupd.daemon.coming_runs import ComingRuns
from backupd.daemon.definitions import Definitions
from backupd.daemon.due_runs import DueRuns, say
from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.daemon.run_windows import mind, window_of_job
from backupd.daemon.sleeping import Sleep
from backupd.daemon.trying_again import Retries, held_back
from backupd.errors import BackupError
from backupd.model.schedules import WHEN, ScheduleText
from backupd.rules.schedules import coming
from backupd.rules.schedules.deciding import decide, next_begin, rebased
from backupd.rules.schedules.reading import Schedule, schedule_of
from backupd.rules.schedules.words import shown_moment
from backupd.settings.daemon_settings import DaemonSettings

_POLL_SECONDS = 5.0
"""The clock may be set, and a machine may sleep, without anybody telling."""
_LATER = timedelta(minutes=1)
"""After something could not be done, as on a full disk."""

_log = logging.getLogger("backupd.schedules")


@dataclass(slots=True)
class _Known:
    """A schedule as it was understood."""

    rule: str
    schedule: Schedule
    handled: datetime
    gap: timedelta | None
    """The longest time between two of its runs."""
    begins: datetime | None
    """The next run; None: never again, or the schedule is off."""


class Scheduler:
    """The schedules of all sets. Everything runs on the event loop."""

    def __init__(
        self, database: Database, known: Definitions, jobs: Jobs, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self._database, self._definitions, self._jobs, self._clock = database, known, jobs, clock
        self.ahead = ComingRuns(clock, environment, self._decided, known.owners.runs)
        self._due = DueRuns(database, jobs, clock, self._why_held)
        self._retries = Retries(jobs, known, self.ahead)
        self._handled: dict[tuple[str, str], Handled] = {}
        self._known: dict[tuple[str, str], _Known] = {}
        self._troubled: dict[str, datetime] = {}
        """Set id -> until when it is left alone, for something went wrong."""
        self._sleep = Sleep(environment)
        self._asked: tuple[bool, datetime | None] = (False, None)
        self._nudged = asyncio.Event()
        jobs.holds = self._why_held

    def adopt(self, settings: DaemonSettings) -> None:
        """Take new settings over."""
        self.ahead.adopt(settings.time_zone)
        self.nudge()

    async def start(self) -> None:
        """Learn from the catalog how far things have come."""
        for one in await asyncio.wrap_future(self._database.read(rows.handled)):
            self._handled[one.set_id, one.schedule] = one

    async def keep_up(self) -> None:
        """For ever: begin what is due."""
        while True:
            wait = _POLL_SECONDS
            try:
                await self.look()
                soonest = min((one.begins for one in self._known.values() if one.begins is not None), default=None)
                if soonest is not None:
                    wait = min(max((soonest - self.ahead.now()).total_seconds(), 0.05), _POLL_SECONDS)
            except BackupError as error:
                _log.error("schedules: %s", error.message)
            self._nudged.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), wait)

    def nudge(self) -> None:
        """Look at once: something may have changed."""
        self._nudged.set()

    def close(self) -> None:
        """Ask nothing of the machine any more."""
        self._sleep.close()

    async def look(self) -> None:
        """Begin what is due now, and what waits for its time. Raises BackupError."""
        now = self.ahead.now()
        for stored in list(self._definitions.sets):
            if self._troubled.get(stored.id, now) <= now:
                await self._look_at_set(stored, now)
        await self._forget_removed()
        await self._retries.end_orphans()
        await mind(self._jobs, self._zone_of_job, now)
        await self._ask_of_machine()
        if any(job.stored.state == "queued" for job in self._jobs.live.values()):
            self._jobs.turn()

    async def _look_at_set(self, stored: StoredSet, now: datetime) -> None:
        """What goes wrong with one set keeps no other from its runs."""
        self._troubled.pop(stored.id, None)
        for text in stored.text.schedules:
            try:
                await self._look_at(stored, text, now)
            except BackupError as error:
                self._troubled[stored.id] = now + _LATER
                known = self._known.get((stored.id, text.name))
                if known is not None and known.begins is not None:
                    known.begins = max(known.begins, now + _LATER)
                _log.error("schedule %s of %s: %s; tried again in a minute", text.name, stored.text.name, error.message)

    async def _look_at(self, stored: StoredSet, text: ScheduleText, now: datetime) -> None:
        zone, key = self.ahead.zone_of(stored.text), (stored.id, text.name)
        known = await self._understood(stored, text, zone, now)
        handled = rebased(known.handled, now, known.gap)
        if handled != known.handled:
            since = shown_moment(known.handled, zone)
            await self._keep(key, self._row(key, known.rule, handled))
            known.begins = next_begin(known.schedule, stored.id, handled, zone)
            say(stored, text.name, f"the clock was set back, to before {since}, when it was due: it goes on from now")
        if known.begins is None or known.begins > now:
            return
        due = decide(known.schedule, stored.id, known.handled, now, zone)
        if due is not None:

            def noted(handled: datetime) -> Handled:
                return self._row(key, known.rule, handled)

            await self._due.act(stored, known.schedule, due, zone, noted, lambda row: self._kept(key, row))
        known.begins = next_begin(known.schedule, stored.id, known.handled, zone)

    async def _understood(self, stored: StoredSet, text: ScheduleText, zone: tzinfo, now: datetime) -> _Known:
        """What a schedule says; one that is new, or says something else than before, begins now."""
        key = (stored.id, text.name)
        is_on = text.enabled and self.ahead.runs(stored)
        when = next(kind for kind in WHEN if getattr(text, kind) is not None)
        rule = f"{when} {getattr(text, when)} {text.days or ''} {zone} {'on' if is_on else 'off'}"
        known = self._known.get(key)
        if known is not None and known.rule == rule and known.schedule.text == text:
            return known
        before = self._handled.get(key)
        schedule = schedule_of(text)
        is_same = before is not None and before.rule == rule
        handled = to_datetime(before.handled_ns) if before is not None and is_same else now
        if not is_same:
            await self._keep(key, self._row(key, rule, handled))
        known = _Known(rule, schedule, handled, coming.longest_gap([schedule], now, zone), None)
        if is_on:
            known.begins = next_begin(schedule, stored.id, handled, zone)
            if not is_same and known.begins is not None:
                say(stored, text.name, f"first due {shown_moment(known.begins, zone)}")
        self._known[key] = known
        return known

    async def _forget_removed(self) -> None:
        there = {(stored.id, text.name) for stored in self._definitions.sets for text in stored.text.schedules}
        for key in [one for one in self._handled if one not in there]:
            self._known.pop(key, None)
            await asyncio.wrap_future(self._database.write(rows.remove_handled, *key))
            del self._handled[key]

    async def _ask_of_machine(self) -> None:
        # What is paused need not keep a laptop awake.
        is_busy = any(job.stored.state == "running" for job in self._jobs.live.values())
        begins = [one.begins for one in self._known.values() if one.schedule.text.wake and one.begins is not None]
        asked = (is_busy, min(begins, default=None))
        if is_busy or asked != self._asked:
            self._asked = asked
            await asyncio.to_thread(self._sleep.ask, *asked)

    # How far each has come

    def _decided(self, set_id: str, text: ScheduleText) -> datetime | None:
        known = self._known.get((set_id, text.name))
        # One that was changed just now is looked at in a moment.
        return known.handled if known is not None and known.schedule.text == text and known.begins else None

    async def _keep(self, key: tuple[str, str], row: Handled) -> None:
        await asyncio.wrap_future(self._database.write(rows.put_handled, row))
        self._kept(key, row)

    def _kept(self, key: tuple[str, str], row: Handled) -> None:
        self._handled[key] = row
        known = self._known.get(key)
        if known is not None:
            known.handled = to_datetime(row.handled_ns)

    @staticmethod
    def _row(key: tuple[str, str], rule: str, handled: datetime) -> Handled:
        return Handled(set_id=key[0], schedule=key[1], rule=rule, handled_ns=int(handled.timestamp()) * 1_000_000_000)

    # Jobs that wait for their time

    def _why_held(self, job: LiveJob) -> str:
        """Why a job whose turn has come waits; empty: it need not."""
        request, zone = job.request.backup, self._zone_of_job(job)
        if request is None or zone is None:
            return ""
        window = window_of_job(job)
        if window is not None and not window.holds(self.ahead.now().astimezone(zone)):
            return f"its window, {window.text}"
        return held_back(request, self._clock.now_ns(), zone)

    def _zone_of_job(self, job: LiveJob) -> tzinfo | None:
        stored = self._definitions.find_set(job.stored.set_id)
        return self.ahead.zone_of(stored.text) if stored is not None else None
