"""The sets' schedules at work: begins what is due, tells what was missed, pauses what has left its run window.

What is due is decided by backupd/rules/schedules; how far that has come is in the catalog, written in one breath with
the job that it led to. So a kill at any moment neither loses a run nor begins one twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import islice
from typing import Any

from backupd.catalog import schedules as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.catalog.schedules import Handled
from backupd.clock import Clock, to_datetime
from backupd.daemon.definitions import Definitions
from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.daemon.missed_runs import missed_job, runs
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.daemon.run_windows import mind, window_of_job
from backupd.daemon.sleeping import Sleep
from backupd.daemon.trying_again import held_back, next_try
from backupd.errors import BackupError, ConfigError, UsageError
from backupd.model.schedules import WHEN, ScheduleText
from backupd.model.sets import SetText
from backupd.rules.schedules import coming
from backupd.rules.schedules.deciding import Due, decide, next_begin, rebased
from backupd.rules.schedules.reading import Schedule, schedule_of
from backupd.rules.schedules.words import shown_moment
from backupd.settings.daemon_settings import DaemonSettings
from backupd.settings.zone import find_zone

_POLL_SECONDS = 5.0
"""The clock may be set, and a machine may sleep, without anybody telling."""
_LATER = timedelta(minutes=1)
"""After the catalog's disk was full."""

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
        self._environment = environment
        self._default_zone: str | None = None
        self._zones: dict[str | None, tzinfo] = {}
        self._handled: dict[tuple[str, str], Handled] = {}
        self._known: dict[tuple[str, str], _Known] = {}
        self._gaps: dict[str, tuple[tuple[Any, ...], timedelta | None]] = {}
        self._sleep = Sleep(environment)
        self._asked: tuple[bool, datetime | None] = (False, None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._nudged = asyncio.Event()
        jobs.holds = self._why_held
        jobs.follow_ends(self._hear_end)

    def adopt(self, settings: DaemonSettings) -> None:
        """Take new settings over."""
        if settings.time_zone != self._default_zone:
            self._default_zone = settings.time_zone
            self._zones.clear()
        self.nudge()

    async def start(self) -> None:
        """Learn from the catalog how far things have come."""
        for one in await asyncio.wrap_future(self._database.read(rows.handled)):
            self._handled[one.set_id, one.schedule] = one

    async def keep_up(self) -> None:
        """For ever: begin what is due."""
        while True:
            try:
                await self.look()
            except BackupError as error:
                _log.error("schedules: %s", error.message)
            now = self.now()
            soonest = min((one.begins for one in self._known.values() if one.begins is not None), default=None)
            wait = (soonest - now).total_seconds() if soonest is not None else _POLL_SECONDS
            self._nudged.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), min(max(wait, 0.05), _POLL_SECONDS))

    def nudge(self) -> None:
        """Look at once: something may have changed."""
        self._nudged.set()

    def now(self) -> datetime:
        """What the clock shows, UTC."""
        return to_datetime(self._clock.now_ns())

    def zone_of(self, stored: StoredSet) -> tzinfo:
        """The zone that a set's times are meant in."""
        name = stored.text.time_zone or self._default_zone
        if name not in self._zones:
            self._zones[name] = find_zone(name, self._environment)
        return self._zones[name]

    # What comes

    def schedules_of(self, stored: StoredSet) -> list[Schedule]:
        """Those of a set that are on, as they were understood."""
        if not stored.text.enabled:
            return []
        return [schedule_of(one) for one in stored.text.schedules if one.enabled]

    def coming(self, stored: StoredSet, count: int) -> Iterator[tuple[datetime, datetime, Schedule]]:
        """The next runs of a set: when due, when begun, and of which schedule."""
        found = coming.coming(self.schedules_of(stored), self.now(), self.zone_of(stored))
        for due, schedule in islice(found, count):
            yield due, due + coming.jitter_of(schedule, stored.id, due), schedule

    def next_of(self, stored: StoredSet) -> tuple[int, str] | None:
        """When a set runs next, as nanoseconds, and by which schedule; None: not by itself."""
        found: list[tuple[datetime, str]] = []
        for one in self.schedules_of(stored):
            known = self._known.get((stored.id, one.text.name))
            # One that was changed just now is looked at in a moment.
            is_known = known is not None and known.schedule.text == one.text and known.begins is not None
            handled = known.handled if known is not None and is_known else self.now()
            begins = next_begin(one, stored.id, handled, self.zone_of(stored))
            if begins is not None:
                found.append((begins, one.text.name))
        if not found:
            return None
        begins, name = min(found)
        return int(begins.timestamp()) * 1_000_000_000, name

    def longest_gap(self, stored: StoredSet) -> timedelta | None:
        """The longest time between two runs of a set; None: it does not run twice by itself."""
        rules = (str(self.zone_of(stored)), stored.text.enabled, *stored.text.schedules)
        known = self._gaps.get(stored.id)
        if known is None or known[0] != rules:
            gap = coming.longest_gap(self.schedules_of(stored), self.now(), self.zone_of(stored))
            self._gaps[stored.id] = known = (rules, gap)
        return known[1]

    def refuse_past(self, text: SetText, old: SetText | None) -> None:
        """Raises ConfigError for a new schedule of one day that is over. old: the set's text so far."""
        name = text.time_zone or self._default_zone
        try:
            zone = find_zone(name, self._environment)
            new = [one for one in text.schedules if one.once is not None and one not in (old.schedules if old else [])]
            read = [(one, schedule_of(one)) for one in new]
        except UsageError:
            # It is refused, with its place in the text, where all of the set is checked.
            return
        for one, schedule in read:
            if one.enabled and schedule.timetable.next_after(self.now(), zone) is None:
                hint = f"it is {shown_moment(self.now(), zone)} now; give a later day"
                raise ConfigError(f"{text.name}: schedule {one.name}: {one.once} is over", hint=hint)

    def _ask_of_machine(self, is_busy: bool, wakes_at: datetime | None) -> None:
        self._sleep.hold_off(is_busy=is_busy)
        self._sleep.wake_at(int(wakes_at.timestamp()) * 1_000_000_000 if wakes_at is not None else None)

    def close(self) -> None:
        """Ask nothing of the machine any more."""
        self._sleep.close()

    # What is due

    async def look(self) -> None:
        """Begin what is due now, and what waits for its time."""
        now = self.now()
        there = {(stored.id, text.name) for stored in self._definitions.sets for text in stored.text.schedules}
        for stored in list(self._definitions.sets):
            for text in stored.text.schedules:
                await self._look_at(stored, text, now)
        for key in [one for one in self._handled if one not in there]:
            self._known.pop(key, None)
            await asyncio.wrap_future(self._database.write(rows.remove_handled, *key))
            del self._handled[key]
        await mind(self._jobs, self._zone_of_job, now)
        is_busy = self._jobs.counts()["running"] > 0
        begins = [one.begins for one in self._known.values() if one.schedule.text.wake and one.begins is not None]
        asked = (is_busy, min(begins, default=None))
        if is_busy or asked != self._asked:
            self._asked = asked
            await asyncio.to_thread(self._ask_of_machine, *asked)
        if any(job.stored.state == "queued" for job in self._jobs.live.values()):
            self._jobs.turn()

    async def _look_at(self, stored: StoredSet, text: ScheduleText, now: datetime) -> None:
        zone, key = self.zone_of(stored), (stored.id, text.name)
        known = await self._understood(stored, text, zone, now)
        handled = rebased(known.handled, now, known.gap)
        if handled != known.handled:
            since = shown_moment(known.handled, zone)
            self._say(stored, text, f"the clock was set back, to before {since}, when it was due: it goes on from now")
            known.handled = handled
            await self._keep(key, known)
            known.begins = next_begin(known.schedule, stored.id, handled, zone)
        if known.begins is None or known.begins > now:
            return
        due = decide(known.schedule, stored.id, known.handled, now, zone)
        if due is None:
            known.begins = next_begin(known.schedule, stored.id, known.handled, zone)
            return
        try:
            await self._act(stored, known, due, zone)
        except BackupError as error:
            _log.error("schedule %s of %s: %s; tried again in a minute", text.name, stored.text.name, error.message)
            known.begins = now + _LATER

    async def _understood(self, stored: StoredSet, text: ScheduleText, zone: tzinfo, now: datetime) -> _Known:
        """What a schedule says; one that is new, or says something else than before, begins now."""
        key = (stored.id, text.name)
        is_on = text.enabled and stored.text.enabled
        when = next(kind for kind in WHEN if getattr(text, kind) is not None)
        rule = f"{when} {getattr(text, when)} {text.days or ''} {zone} {'on' if is_on else 'off'}"
        known = self._known.get(key)
        if known is not None and known.rule == rule and known.schedule.text == text:
            return known
        before = self._handled.get(key)
        schedule = schedule_of(text)
        is_same = before is not None and before.rule == rule
        handled = to_datetime(before.handled_ns) if before is not None and is_same else now
        known = _Known(rule, schedule, handled, coming.longest_gap([schedule], now, zone), None)
        if not is_same:
            await self._keep(key, known)
        if is_on:
            known.begins = next_begin(schedule, stored.id, handled, zone)
            if not is_same and known.begins is not None:
                self._say(stored, text, f"first due {shown_moment(known.begins, zone)}")
        self._known[key] = known
        return known

    async def _act(self, stored: StoredSet, known: _Known, due: Due, zone: tzinfo) -> None:
        """Do what a due schedule asks for; how far it has come is kept with it."""
        key, text = (stored.id, known.schedule.text.name), known.schedule.text
        row = self._row(key, known.rule, due.at)
        beside = partial(rows.put_handled, one=row)
        busy = self._jobs.is_busy(stored.id)
        missed = due.missed_count(known.schedule)
        if missed:
            job_id, now_ns = self._jobs.new_id(), self._clock.now_ns()
            note = missed_job(stored, known.schedule, due, zone, job_id=job_id, now_ns=now_ns)
            await self._jobs.note_missed(note, beside)
            last = due.last_missed(known.schedule)
            span = f"from {shown_moment(due.first, zone)} to {shown_moment(last, zone)}"
            self._say(stored, text, f"{runs(missed)} missed, {span}: nobody was there")
        if due.begins(known.schedule):
            why = f"due {shown_moment(due.at, zone)}"
            made_up_for = due.count - missed
            if made_up_for > 1 or due.is_late:
                why += f", for {runs(made_up_for)} since {shown_moment(due.first, zone)}"
            if busy is None or (text.overlap == "queue" and not self._waits(stored)):
                job = await self._begin(stored, known.schedule, beside)
                self._say(stored, text, f"{why}: job {job.stored.id[:9]} begun")
            elif busy.request.backup is not None and busy.request.backup.not_before_ns and not busy.is_begun:
                await asyncio.wrap_future(self._database.write(beside))
                busy.allow_now()
                self._jobs.turn()
                self._say(stored, text, f"{why}: job {busy.stored.id[:9]}, which waited for its next try, begins now")
            else:
                await asyncio.wrap_future(self._database.write(beside))
                busy.passed_over += 1
                said = f"{why}: not begun, for job {busy.stored.id[:9]} of the set is under way"
                busy.log("information", f"schedule {text.name} {said}")
                self._say(stored, text, said)
        known.handled, self._handled[key] = due.at, row
        known.begins = next_begin(known.schedule, stored.id, due.at, zone)

    async def _begin(self, stored: StoredSet, schedule: Schedule, beside: partial[None]) -> LiveJob:
        text = schedule.text
        request = BackupRequest(
            stop_after_seconds=schedule.stop_after_seconds,
            retention=text.retention,
            schedule=text.name,
            window=text.window,
        )
        return await self._queue(stored, request, beside)

    async def _queue(self, stored: StoredSet, request: BackupRequest, beside: partial[None] | None) -> LiveJob:
        job = JobRequest(kind="backup", backup=request)
        name = stored.text.name
        return await self._jobs.add(job, set_id=stored.id, set_name=name, uid=os.geteuid(), beside=beside)

    def _waits(self, stored: StoredSet) -> bool:
        """Whether a backup of the set waits already."""
        return any(
            job.stored.kind == "backup" and job.stored.set_id == stored.id and not job.is_begun
            for job in self._jobs.live.values()
        )

    async def _keep(self, key: tuple[str, str], known: _Known) -> None:
        row = self._row(key, known.rule, known.handled)
        await asyncio.wrap_future(self._database.write(rows.put_handled, row))
        self._handled[key] = row

    @staticmethod
    def _row(key: tuple[str, str], rule: str, handled: datetime) -> Handled:
        return Handled(set_id=key[0], schedule=key[1], rule=rule, handled_ns=int(handled.timestamp()) * 1_000_000_000)

    def _say(self, stored: StoredSet, text: ScheduleText, what: str) -> None:
        _log.info("schedule %s of %s: %s", text.name, stored.text.name, what)

    # Runs that are tried again

    def _hear_end(self, ended: StoredJob) -> None:
        if ended.kind == "backup" and ended.schedule is not None and ended.orders and not self._jobs.is_stopping:
            task = asyncio.ensure_future(self._try_again(ended))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try_again(self, ended: StoredJob) -> None:
        stored, request = self._set(ended.set_id or ""), JobRequest.restored(ended.orders).backup
        if stored is None or request is None or self._jobs.is_busy(stored.id) is not None:
            return
        coming_ns = (self.next_of(stored) or (None, ""))[0]
        again = next_try(ended, request, coming_ns, self._destination_id)
        if again is None:
            return
        try:
            job = await self._queue(stored, again, None)
        except BackupError as error:
            _log.error("%s is not tried again: %s", stored.text.name, error.message)
            return
        _log.info("%s: job %s waits for %s", stored.text.name, job.stored.id[:9], self._why_held(job))

    def _destination_id(self, name: str) -> str | None:
        return next((one.id for one in self._definitions.destinations if one.text.name == name), None)

    # Windows, and jobs that wait for their time

    def _why_held(self, job: LiveJob) -> str:
        """Why a job whose turn has come waits; empty: it need not."""
        request, zone = job.request.backup, self._zone_of_job(job)
        if request is None or zone is None:
            return ""
        window = window_of_job(job)
        if window is not None and not window.holds(self.now().astimezone(zone)):
            return f"its window, {window.text}"
        return held_back(request, self._clock.now_ns(), zone)

    def _zone_of_job(self, job: LiveJob) -> tzinfo | None:
        stored = self._set(job.stored.set_id or "")
        return self.zone_of(stored) if stored is not None else None

    def _set(self, set_id: str) -> StoredSet | None:
        return next((one for one in self._definitions.sets if one.id == set_id), None)
