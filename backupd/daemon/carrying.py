"""Carries jobs out: orders for each destination, one job process after the other, what they say, how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from backupd.catalog import definitions
from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet, new_id
from backupd.clock import Clock
from backupd.daemon import account, deciding, job_destinations, periodic, purging, quotas, run_records, seeding
from backupd.daemon.after_run import follow_up
from backupd.daemon.bandwidth import Bandwidth
from backupd.daemon.child import ChildJob
from backupd.daemon.conditions import RunConditions
from backupd.daemon.definitions import Definitions
from backupd.daemon.grouping import (
    Siblings,
    allowed,
    caught_up,
    earlier,
    groups,
    is_of_sources,
    is_shut,
    laggards,
    near_first,
    snapshot_of,
    split,
    step_name,
)
from backupd.daemon.job_files import JobFiles
from backupd.daemon.job_limits import limits_of
from backupd.daemon.leftovers import remove_after
from backupd.daemon.live_job import LiveJob
from backupd.daemon.migrating import is_migrating
from backupd.daemon.outcome import GOOD, Outcome, joined
from backupd.daemon.planning import add_names, backup_order, copy_order, needs_secrets, own_repository, with_secrets
from backupd.daemon.requests import BackupRequest
from backupd.daemon.run_commands import RunCommands
from backupd.daemon.store_access import access_at, with_access
from backupd.errors import BackupError, SourceNotFoundError
from backupd.model.any_order import AnyOrder
from backupd.model.events import Done, Failed, Opened
from backupd.model.orders import FurtherPlace, Order, ReplicateOrder
from backupd.model.steering import PauseRequest
from backupd.model.store_access import StoreAccess

_STOPPED = "stopped before its end"

Note = Callable[[Opened], Awaitable[None]]


class Carrier:
    """What a job needs to be carried out."""

    def __init__(
        self,
        database: Database,
        known: Definitions,
        clock: Clock,
        environment: Mapping[str, str],
        files: JobFiles,
        bandwidth: Bandwidth,
    ) -> None:
        """environment: of job processes. files: where they keep the states of files."""
        self._database, self._known, self._clock, self._environment = database, known, clock, environment
        self._files, self._bandwidth = files, bandwidth
        self.commands = RunCommands(database, known, clock, environment)
        self._conditions = RunConditions(clock, environment)
        self._checks = periodic.PeriodicChecks(database, known, clock, environment, self._converse)

    def new_id(self) -> str:
        """Of a new job."""
        return new_id("j")

    def destinations_of(self, job: LiveJob) -> frozenset[str]:
        """Names of those with a limit at which a job works."""
        return job_destinations.destinations_of(self._known, job)

    def limits(self) -> dict[str, int]:
        """Name of a destination -> how many jobs may work there at once."""
        return job_destinations.limits(self._known)

    async def carry(self, job: LiveJob) -> Outcome:
        """Do all that a job is about. Raises BackupError where it can't be begun."""
        request = job.request
        self._known.refuse_other_owner(job.stored.set_id, request.owners_verb)
        order = request.restore or request.check or request.replicate or request.free or request.purge
        if order is not None:
            began_ns = self._clock.now_ns()
            if needs_secrets(order) and job.stored.set_id is not None:
                order = await asyncio.to_thread(with_secrets, order, self._known.set_by_id(job.stored.set_id).text)
            outcome = deciding.with_commands(await self._converse(job, order, self._note_of(job)), job.stored.id)
            job.is_cut_short = job.ending is not None and outcome.was_stopped and request.goes_on
            await self._keep_other_run(job, order, outcome, began_ns)
            return outcome
        stored = self._known.set_by_id(job.stored.set_id or "")
        destinations = [self._known.destination(one) for one in request.destinations or stored.text.to]
        is_seed = request.backup is not None and request.backup.seed_place is not None
        run = partial(self._seed, job, stored) if is_seed else partial(self._store, job, stored, destinations)
        at = [] if is_seed else destinations
        made = partial(self.commands.around, job, stored, at, run, self._checks.before_backup, self._keep_run)
        return await self._conditions.mind(job, stored, at, made, self._keep_run)

    async def _store(self, job: LiveJob, stored: StoredSet, destinations: Sequence[StoredDestination]) -> Outcome:
        """Back up to each of these."""
        before = await asyncio.wrap_future(self._database.read(rows.runs_of, job.stored.id))
        # A job that goes on after a restart does not do again what it had done.
        ended = {run.destination_id: Outcome.of_run(run) for run in before if run.exit_code in GOOD}
        is_dry = job.request.backup is not None and job.request.backup.dry_run
        left = [one for one in destinations if one.id not in ended]
        ended |= await self._pass_over(job, stored, left, is_dry=is_dry)
        for group in groups(stored.text, [one for one in destinations if one.id not in ended], is_dry=is_dry):
            await self._checks.before_backup(job, stored, group)
            if len(group) > 1 or is_dry:
                ended |= await self._store_at_once(job, stored, group, ended)
            else:
                ended |= await self._store_at_next(job, stored, group[0], earlier(destinations, ended))
            if any(outcome.was_stopped for outcome in ended.values()):
                job.is_cut_short = job.ending is not None
                break
        return joined([(one.text.name, ended[one.id]) for one in destinations if one.id in ended])

    async def _store_at_once(
        self, job: LiveJob, stored: StoredSet, group: Sequence[StoredDestination], ended: Mapping[str, Outcome]
    ) -> dict[str, Outcome]:
        """Store to several from one reading, then fill those that lag. ended: how the job ended at others so far."""
        began_ns = self._clock.now_ns()
        found = {**ended, **await self._back_up(job, stored, group)}
        for destination in laggards(group, found):
            if any(outcome.was_stopped for outcome in found.values()):
                await self._keep_ended(job, stored, destination, found[destination.id], began_ns)
                continue
            # From one of its own group first: it is to be in step with these.
            filled = await self._fill(job, stored, destination, near_first(group, found))
            found |= filled or await self._back_up(job, stored, [destination])
        return found

    async def _store_at_next(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, siblings: Siblings
    ) -> dict[str, Outcome]:
        """One destination after the other: what was read for an earlier one need not be read again (FEATURES 4.2)."""
        filled = await self._fill(job, stored, destination, siblings.near)
        if filled is not None:
            return filled
        found = await self._back_up(job, stored, [destination])
        if siblings.far and is_of_sources(found[destination.id]):
            return await self._fill(job, stored, destination, siblings.far) or found
        return found

    async def _pass_over(
        self, job: LiveJob, stored: StoredSet, destinations: Sequence[StoredDestination], *, is_dry: bool
    ) -> dict[str, Outcome]:
        """Destinations whose first copy is on its way on a disk; said in the log, kept as skipped."""
        found = seeding.passed_over(self._known.seedings, self._known.repositories, stored, destinations)
        for destination in (one for one in destinations if one.id in found):
            job.log("warning", str((found[destination.id].error or {})["message"]))
            if not is_dry:
                await self._keep_run(job, stored, destination, found[destination.id], self._clock.now_ns())
        return found

    async def _seed(self, job: LiveJob, stored: StoredSet) -> Outcome:
        """The first backup for a destination, to a disk; no run there, so nothing is kept of it as one."""
        request = job.request.backup or BackupRequest()
        destination = self._known.destination(request.to[0])
        text = seeding.disk_text(destination.text, request.seed_place or "")
        disk = msgspec.structs.replace(destination, text=text)
        job.begin_step(step_name([disk]))
        outcome = await self._try_to_back_up(job, stored, [disk], is_seed=True)
        job.is_cut_short = job.ending is not None and outcome.was_stopped
        return outcome

    async def _back_up(
        self, job: LiveJob, stored: StoredSet, group: Sequence[StoredDestination]
    ) -> dict[str, Outcome]:
        """One destination's part, or that of several at once, by their ids; the failure of one is its own."""
        began_ns = self._clock.now_ns()
        job.begin_step(step_name(group))
        outcomes: dict[str, Outcome] = {}
        read: dict[str, StoreAccess] = {}
        for destination in group:
            try:
                read[destination.text.place] = await access_at(self._known, destination.text.place)
            except BackupError as error:
                outcomes[destination.id] = Outcome.of(error)
        able = [destination for destination in group if destination.id not in outcomes]
        if able:
            try:
                outcomes |= split(await self._try_to_back_up(job, stored, able, read), able)
            except BackupError as error:
                outcomes |= {destination.id: Outcome.of(error) for destination in able}
        outcomes = {destination.id: allowed(destination, outcomes[destination.id]) for destination in group}
        # What lags is told of when it was filled; nobody fills one that is alone.
        later = laggards(group, outcomes) if len(group) > 1 else []
        for destination in (one for one in group if one not in later):
            ended = await self._keep_ended(job, stored, destination, outcomes[destination.id], began_ns)
            outcomes[destination.id] = ended
        return outcomes

    async def _fill(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, ended: Mapping[str, Outcome]
    ) -> dict[str, Outcome] | None:
        """Fill a destination that lacks the newest snapshot from one that has it; None where none can give it.

        ended: how the job ended at its destinations, in the order in which they are asked.
        """
        began_ns = self._clock.now_ns()
        for sibling, its in ended.items():
            known = self._known.repository(stored.id, sibling)
            if its.exit_code not in GOOD or known is None or sibling == destination.id or not snapshot_of(its):
                continue
            source = self._known.destination(sibling)
            job.begin_step(f"fill {destination.text.name} from {source.text.name}")
            try:
                copied = await self._copy(job, stored, destination, source, known, snapshot_of(its))
            except BackupError as error:
                copied = Outcome.of(error)
            if copied.exit_code in GOOD or copied.was_stopped or is_shut(destination, copied):
                outcome = allowed(destination, caught_up(copied, its, destination, ended.get(destination.id)))
                return {destination.id: await self._keep_ended(job, stored, destination, outcome, began_ns)}
            reason = (copied.error or {}).get("message")
            job.log("warning", f"{destination.text.name} can't be filled from {source.text.name}: {reason}")
        return None

    async def _copy(
        self,
        job: LiveJob,
        stored: StoredSet,
        destination: StoredDestination,
        source: StoredDestination,
        known: StoredRepository,
        snapshot: str,
    ) -> Outcome:
        """Copy the snapshot that the job has made at the source. Raises BackupError where that can't be begun."""
        if (request := job.request.backup) is None:
            raise SourceNotFoundError("the job names nothing to do")
        limits = limits_of(job, stored, request, self._clock.now_ns())
        is_there = self._known.repository(stored.id, destination.id) is not None
        order = copy_order(stored, source, known, destination.text, limits=limits, snapshot=snapshot, existing=is_there)
        order = await asyncio.to_thread(with_secrets, order, stored.text)
        space = await quotas.limits(self._database, self._known, stored, destination)
        note = self._note_for(stored.id, destination)
        return await self._converse(job, msgspec.structs.replace(order, space=space), note)

    async def _keep_ended(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, outcome: Outcome, began_ns: int
    ) -> Outcome:
        """Keep a run, but one that goes on when the daemon is there again, and what stored nothing on purpose."""
        now_ns, asked = self._clock.now_ns(), (self._converse, self._known, self._database)
        outcome = await follow_up(*asked, job, stored, destination, outcome, now_ns)
        goes_on = job.goes_on(was_stopped=outcome.was_stopped)
        if not goes_on and (job.request.backup is None or not job.request.backup.dry_run):
            await self._keep_run(job, stored, destination, outcome, began_ns)
        return outcome

    async def _try_to_back_up(
        self,
        job: LiveJob,
        stored: StoredSet,
        group: Sequence[StoredDestination],
        read: Mapping[str, StoreAccess] | None = None,
        *,
        is_seed: bool = False,
    ) -> Outcome:
        """read: what opens places of the group, where it was read already."""
        request = job.request.backup
        if request is None:
            raise SourceNotFoundError("the job names nothing to do")
        known = [None if is_seed else self._known.repository(stored.id, one.id) for one in group]
        owns = [own_repository(self._known, stored, at_it) for at_it in known]
        spaces = [await quotas.limits(self._database, self._known, stored, destination) for destination in group]
        order = await asyncio.to_thread(
            backup_order,
            stored,
            group[0],
            known[0],
            owns[0][0],
            # The same everywhere; who has nothing yet goes by the one that has.
            identity=next((own[1] for own, at_it in zip(owns, known, strict=True) if at_it is not None), owns[0][1]),
            tags=request.tags,
            limits=limits_of(job, stored, request, self._clock.now_ns()),
            dry_run=request.dry_run,
        )
        also = [
            FurtherPlace(place=one.text.place, own=own, existing=at_it is not None, space=space)
            for one, at_it, (own, _), space in [*zip(group, known, owns, spaces, strict=True)][1:]
        ]
        kept = None
        if not request.dry_run:
            names = ", ".join(destination.text.name for destination in group)
            kept = await asyncio.to_thread(self._files.begin, job.stored.id, names)
        order = msgspec.structs.replace(
            order,
            also=also,
            space=spaces[0],
            account=await account.limit(self._database, self._known, stored, group),
            estimate=request.estimate,
            migrate=is_migrating(stored.text, request),
            file_states=kept,
            watched=request.watched,
            grafts=job.grafts,
        )

        async def note(opened: Opened) -> None:
            if known[opened.number] is None and not is_seed:
                await self._note_repository(stored, group[opened.number], opened)

        outcome = await self._converse(job, order, note, read)
        for run in (outcome.result or {}).get("runs") or []:
            add_names(run, job.stored.id, stored.text, group, group[0].text.place if is_seed else None)
        return outcome

    def _note_of(self, job: LiveJob) -> Note | None:
        """Takes in where a replication makes its set's repository."""
        order = job.request.replicate
        destination = self._known.destination_of(order.to) if order is not None else None
        return self._note_for(job.stored.set_id, destination) if destination is not None else None

    def _note_for(self, set_id: str | None, destination: StoredDestination) -> Note:
        async def note(opened: Opened) -> None:
            # Its set or its destination may have been removed while it waited.
            stored = self._known.find_set(set_id)
            if stored is not None and self._known.repository(stored.id, destination.id) is None:
                await self._note_repository(stored, destination, opened)

        return note

    async def _note_repository(self, stored: StoredSet, destination: StoredDestination, opened: Opened) -> None:
        """Known from the first moment on: also a run that is killed leaves something that can be listed."""
        found = StoredRepository(
            set_id=stored.id,
            destination_id=destination.id,
            repository=opened.repository,
            stored_set_id=opened.set_id,
        )
        await asyncio.wrap_future(self._database.write_always(definitions.put_repository, found))
        await self._known.reload()

    async def _converse(
        self, job: LiveJob, order: AnyOrder, note: Note | None = None, read: Mapping[str, StoreAccess] | None = None
    ) -> Outcome:
        """Run one job process to its end. note: of the repository. Raises BackupError when it can't be started."""
        if job.ending is not None:
            return Outcome.interrupted(_STOPPED)
        order = self._bandwidth.paced(await with_access(self._known, order, read or {}))
        try:
            child = await ChildJob.start(order, self._environment, self._bandwidth.descriptors)
        except BackupError:
            self._bandwidth.release(order)
            raise
        job.child = child
        last: Done | Failed | None = None
        try:
            if job.stored.state == "paused":
                await child.send(PauseRequest(paused=True))
            if job.ending is not None:
                await child.send(job.ending)
            async for event in child.events():
                if isinstance(event, Done | Failed):
                    last = event
                    break
                if isinstance(event, Opened):
                    if note is not None:
                        await note(event)
                else:
                    job.hear(event)
        finally:
            job.child = job.open_ask = None
            ending = await child.end()
            self._bandwidth.release(order)
            if last is None:
                await remove_after(order, self._environment)
        if last is not None:
            return Outcome.said(last).stopped(_STOPPED)
        return Outcome.interrupted(_STOPPED) if job.ending is not None else Outcome.of(ending.error())

    async def _keep_run(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, outcome: Outcome, began_ns: int
    ) -> None:
        times_ns = (began_ns, self._clock.now_ns())
        run = run_records.run_of(job.stored, stored, destination, outcome, run_records.backup_facts(outcome), times_ns)
        await asyncio.wrap_future(self._database.write_always(rows.put_backup, run, GOOD))

    async def _keep_other_run(self, job: LiveJob, order: Order, outcome: Outcome, began_ns: int) -> None:
        """Keep what any other job of a known set at a known destination came to."""
        restore = job.request.restore
        stored = self._known.find_set(job.stored.set_id)
        destination = self._known.destination_of(order.to if isinstance(order, ReplicateOrder) else order.place)
        purged = await purging.forget(self._database, self._known, self._files, order, outcome)
        if stored is None or destination is None or (restore is not None and restore.dry_run):
            return
        facts = run_records.other_facts(job.request, outcome)
        run = run_records.run_of(job.stored, stored, destination, outcome, facts, (began_ns, self._clock.now_ns()))
        others = [set_id for set_id in purged if set_id != stored.id]
        await asyncio.wrap_future(self._database.write_always(rows.put_run, run, others))
