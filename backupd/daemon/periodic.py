"""Periodic checks, and the share that is read a day: by a set's own job before it stores anything, where it is due.

A check so made is a job of its own in the catalog, without a place in the queue. What it finds fails no backup: the run
says that one should look, and what is lost there is stored again by it where the source still has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import StoredDestination, StoredSet, new_id
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.clock import Clock, to_datetime
from backupd.daemon import deciding, run_records
from backupd.daemon.definitions import Definitions
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import GOOD, Outcome, fields
from backupd.daemon.planning import unlocked
from backupd.daemon.requests import JobRequest
from backupd.daemon.siblings import siblings_of
from backupd.daemon.store_access import access_at
from backupd.errors import BackupError, BusyError
from backupd.model.jobs import LogLine, ended_state
from backupd.model.known_as import KnownAs
from backupd.model.orders import CheckOrder, Limits, SiblingPlace
from backupd.model.places import inside
from backupd.rules import names
from backupd.rules.periodic_check import is_due
from backupd.settings.zone import zone_or_own
from backupd.sizes import parse_share
from backupd.store_errors import DestinationAbsentError, PeriodicCheckError

Converse = Callable[[LiveJob, CheckOrder], Awaitable[Outcome]]


VERIFY = "verify"
"""Kind of runs that read a share of the blocks and found nothing."""


class _Trigger(msgspec.Struct, frozen=True):
    """Why a backup's job checks first."""

    is_periodic: bool
    is_rolling: bool

    @property
    def name(self) -> str:
        """As results call it."""
        return "periodic" if self.is_periodic else "rolling"


class PeriodicChecks:
    """Of all sets of a daemon."""

    def __init__(
        self,
        database: Database,
        known: Definitions,
        clock: Clock,
        environment: Mapping[str, str],
        converse: Converse,
    ) -> None:
        """environment: names the zone of sets that name none. converse: carries an order out within a job."""
        self._database, self._known, self._clock = database, known, clock
        self._environment, self._converse = environment, converse

    async def before_backup(self, job: LiveJob, stored: StoredSet, group: Sequence[StoredDestination]) -> None:
        """Check each of these destinations where that is due."""
        request = job.request.backup
        if request is None or request.dry_run:
            return
        for destination in group:
            if destination.id in job.checked_at:
                continue
            trigger = await self._due(stored, destination) if job.ending is None else None
            if trigger is not None:
                await self._check(job, stored, destination, trigger)

    async def _due(self, stored: StoredSet, destination: StoredDestination) -> _Trigger | None:
        if self._known.repository(stored.id, destination.id) is None:
            return None
        now, zone = to_datetime(self._clock.now_ns()), await asyncio.to_thread(self._zone, stored)
        facts = await asyncio.wrap_future(
            self._database.read(_facts, stored.id, destination.id, _midnight_ns(now, zone))
        )
        is_periodic = is_due(
            int(stored.id[1:], 16),
            now=now,
            zone=zone,
            first_snapshot=to_datetime(facts.first_snapshot_ns) if facts.first_snapshot_ns is not None else None,
            last_check=to_datetime(facts.last_check_ns) if facts.last_check_ns is not None else None,
            is_first_job=facts.is_first_job,
        )
        # Once a day, also where no run becomes good: else a share that takes long is read before each of them.
        is_wanted = stored.text.verify is not None and not facts.has_read_today
        is_rolling = is_wanted and facts.is_first_job and facts.first_snapshot_ns is not None
        return _Trigger(is_periodic, is_rolling) if is_periodic or is_rolling else None

    def _zone(self, stored: StoredSet) -> tzinfo:
        return zone_or_own(stored.text.time_zone, self._environment)

    async def _check(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, trigger: _Trigger
    ) -> None:
        began_ns = self._clock.now_ns()
        what = f"{trigger.name} check of {destination.text.name}"
        job.begin_step(what)
        try:
            order = await self._order(job, stored, destination, trigger)
            outcome = await self._converse(job, order)
            if (outcome.error or {}).get("code") != DestinationAbsentError.code:
                job.checked_at.add(destination.id)
        except BackupError as error:
            job.log("warning", f"the {what} could not begin: {error.message}")
            return
        finally:
            job.checked_ns += self._clock.now_ns() - began_ns
        if outcome.result is None or outcome.was_stopped:
            # Neither found nor finished: it is due again with the next job.
            job.log("warning", f"the {what} did not finish: {outcome.sentence}")
            return
        outcome = msgspec.structs.replace(outcome, result={**outcome.result, "trigger": trigger.name})
        check = await self._keep(job, stored, destination, JobRequest(kind="check", check=order), outcome, began_ns)
        job.log("warning" if outcome.exit_code else "information", f"{names.short(check.id)}: {outcome.sentence}")
        if outcome.exit_code not in (0, BusyError.exit_code):
            message = (outcome.error or {}).get("message", "")
            before_it = f"{names.short(check.id)}, the {trigger.name} check before it"
            job.found_by_check[destination.id] = f"{before_it}: {message}"

    async def _order(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, trigger: _Trigger
    ) -> CheckOrder:
        """Raises KeyMissingError, RepositoryNotFoundError."""
        request = job.request.backup
        text, known = stored.text, self._known.repository(stored.id, destination.id)
        if known is None:
            raise AssertionError("a check is due only where something is stored")
        place = inside(destination.text.place, known.repository)
        siblings = siblings_of(self._known, stored, place) if text.heal else []
        order = CheckOrder(
            place=place,
            set_names=[known.stored_set_id],
            crc=trigger.is_rolling,
            share_permille=parse_share(text.verify) if trigger.is_rolling and text.verify is not None else None,
            blocks_only=not trigger.is_periodic,
            repair=text.heal,
            siblings=[one for one in siblings if await self._can_be_asked(one)],
            limits=Limits(
                jobs=text.jobs,
                polite=text.polite,
                upload_rate=request.upload_rate if request is not None else None,
                download_rate=request.download_rate if request is not None else None,
            ),
            time_zone=text.time_zone,
            known_as=KnownAs(set=text.name, destination=destination.text.name),
        )
        return await asyncio.to_thread(unlocked, order, text)

    async def _can_be_asked(self, sibling: SiblingPlace) -> bool:
        """Whether what opens it can be read: else a check here would end for want of a login there."""
        try:
            await access_at(self._known, sibling.place)
        except BackupError:
            return False
        return True

    async def _keep(
        self,
        job: LiveJob,
        stored: StoredSet,
        destination: StoredDestination,
        request: JobRequest,
        outcome: Outcome,
        began_ns: int,
    ) -> StoredJob:
        check_id = new_id("j")
        outcome = deciding.with_commands(outcome, check_id)
        check = StoredJob(
            id=check_id,
            kind="check",
            state=ended_state(outcome.exit_code),
            set_id=stored.id,
            set_name=stored.text.name,
            orders=b"",
            caller_uid=job.stored.caller_uid,
            # Right before the job that makes it: `latest` is what somebody asked for.
            created_ns=job.stored.created_ns - 1,
            started_ns=began_ns,
            finished_ns=self._clock.now_ns(),
            exit_code=outcome.exit_code,
            result=outcome.result,
            error=outcome.error,
            warnings=outcome.warnings,
        )
        facts = run_records.other_facts(request, outcome)
        run = run_records.run_of(check, stored, destination, outcome, facts, (began_ns, self._clock.now_ns()))
        result = outcome.result or {}
        if result["trigger"] == "rolling" and not outcome.exit_code:
            # Not to stand in the place of the last check that looked at everything.
            run = msgspec.structs.replace(run, kind=VERIFY)
        made_by = f"made by job {names.short(job.stored.id)}, whose log has the steps"
        lines = [f"{result['trigger']} check of {destination.text.name}, {made_by}", outcome.sentence]
        await asyncio.wrap_future(self._database.write_always(_put, check, run, lines))
        return check


def told_of(job: LiveJob, destination: StoredDestination, outcome: Outcome) -> Outcome:
    """How a backup ended at a destination, with what the check before it found there."""
    found = job.found_by_check.get(destination.id)
    if found is None or outcome.exit_code not in GOOD or outcome.result is None:
        return outcome
    error = PeriodicCheckError(
        f"the backup is whole, but look: {found}", hint="what was lost and the source still has is stored again now"
    )
    runs = [{**run, "exit": error.exit_code} for run in outcome.result.get("runs") or []]
    return msgspec.structs.replace(
        outcome,
        exit_code=error.exit_code,
        result={**outcome.result, "runs": runs},
        error=outcome.error or fields(error),
        warnings=[*outcome.warnings, error.message],
    )


class _Facts(msgspec.Struct, frozen=True):
    """What the catalog says of a set at a destination."""

    first_snapshot_ns: int | None
    last_check_ns: int | None
    is_first_job: bool
    """Whether no run of today was good there yet."""
    has_read_today: bool
    """Whether a check by itself has ended there today."""


def _facts(connection: Connection, set_id: str, destination_id: str, midnight_ns: int) -> _Facts:
    first, newest = rows.snapshot_times(connection, set_id, destination_id)
    here = [run for run in rows.last_runs(connection) if (run.set_id, run.destination_id) == (set_id, destination_id)]
    finished = [run.finished_ns for run in here if deciding.is_finished_check(run)]
    return _Facts(
        first_snapshot_ns=first,
        last_check_ns=max(finished, default=None),
        is_first_job=newest is None or newest < midnight_ns,
        has_read_today=any(
            (run.kind == VERIFY or run.facts.get("trigger")) and run.finished_ns >= midnight_ns for run in here
        ),
    )


def _midnight_ns(now: datetime, zone: tzinfo) -> int:
    """When the day of a moment began in a zone."""
    local = now.astimezone(zone)
    begun = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (begun - to_datetime(0)) // timedelta(microseconds=1) * 1000


def _put(connection: Connection, check: StoredJob, run: StoredRun, lines: Sequence[str]) -> None:
    rows.put_job(connection, check)
    rows.put_run(connection, run)
    time_ns = check.finished_ns or 0
    severity = "error" if check.exit_code else "information"
    rows.add_log(
        connection,
        check.id,
        [LogLine(n=n, time_ns=time_ns, severity=severity, message=line) for n, line in enumerate(lines, 1)],  # type: ignore[arg-type]
    )
