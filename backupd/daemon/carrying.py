"""Carries jobs out: orders for each destination, one job process after the other, what they say, how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from backupd.catalog import definitions
from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet, new_id
from backupd.clock import Clock
from backupd.daemon import run_records
from backupd.daemon.child import ChildJob
from backupd.daemon.definitions import Definitions
from backupd.daemon.job_files import JobFiles
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import GOOD, Outcome, joined
from backupd.daemon.planning import backup_order, restore_hint, sheet_hint
from backupd.daemon.quotas import limits
from backupd.daemon.store_access import with_access
from backupd.errors import BackupError, DestinationUnreachableError, SkippedError, SourceNotFoundError
from backupd.model.events import Done, Failed, Opened
from backupd.model.orders import AnyOrder, OwnRepository, PauseRequest
from backupd.model.places import inside
from backupd.rules.definition_rules import duration

_STOPPED = "stopped before its end"

Note = Callable[[Opened], Awaitable[None]]


class Carrier:
    """What a job needs to be carried out."""

    def __init__(
        self, database: Database, known: Definitions, clock: Clock, environment: Mapping[str, str], files: JobFiles
    ) -> None:
        """environment: of job processes. files: where they keep the states of files."""
        self._database, self._known, self._clock, self._environment = database, known, clock, environment
        self._files = files

    def new_id(self) -> str:
        """Of a new job."""
        return new_id("j")

    async def carry(self, job: LiveJob) -> Outcome:
        """Do all that a job is about. Raises BackupError where it can't be begun."""
        request = job.request
        order = request.restore or request.check
        if order is not None:
            began_ns = self._clock.now_ns()
            outcome = await self._converse(job, order)
            job.is_cut_short = job.ending is not None and outcome.was_stopped
            await self._keep_other_run(job, order.place, outcome, began_ns)
            return outcome
        stored = self._known.set_by_id(job.stored.set_id or "")
        wanted = (request.backup.to if request.backup is not None else []) or [
            self._known.destination(name).id for name in stored.text.to
        ]
        named: list[tuple[str, Outcome]] = []
        before = await asyncio.wrap_future(self._database.read(rows.runs_of, job.stored.id))
        for destination_id in wanted:
            destination = self._known.destination(destination_id)
            done = next((run for run in before if run.destination_id == destination.id and run.exit_code in GOOD), None)
            # A job that goes on after a restart does not do again what it had done.
            outcome = Outcome.of_run(done) if done is not None else await self._back_up(job, stored, destination)
            named.append((destination.text.name, outcome))
            if outcome.was_stopped:
                job.is_cut_short = job.ending is not None
                break
        return joined(named)

    async def _back_up(self, job: LiveJob, stored: StoredSet, destination: StoredDestination) -> Outcome:
        """One destination's part; its failure is its own."""
        began_ns = self._clock.now_ns()
        job.begin_step(f"destination {destination.text.name}")
        try:
            outcome = await self._try_to_back_up(job, stored, destination)
        except BackupError as error:
            outcome = Outcome.of(error)
        if destination.text.absent == "skip" and (outcome.error or {}).get("code") == DestinationUnreachableError.code:
            message = (outcome.error or {}).get("message", "")
            outcome = Outcome.of(SkippedError(f"{destination.text.name} is absent: {message}"))
        goes_on = outcome.was_stopped and job.ending is not None and not job.asked_to_end
        if not goes_on and (job.request.backup is None or not job.request.backup.dry_run):
            await self._keep_run(job, stored, destination, outcome, began_ns)
        return outcome

    async def _try_to_back_up(self, job: LiveJob, stored: StoredSet, destination: StoredDestination) -> Outcome:
        request = job.request.backup
        if request is None:
            raise SourceNotFoundError("the job names nothing to do")
        known = self._known.repository(stored.id, destination.id)
        own, identity = self._own(stored, known)
        limit = request.stop_after_seconds or duration(stored.text.stop_after)
        left = self._seconds_left(job, limit) if limit is not None else None
        if left is not None and left <= 0:
            return Outcome.interrupted("the time given by --stop-after is over")
        order = await asyncio.to_thread(
            backup_order,
            stored,
            destination,
            known,
            own,
            identity=identity,
            tags=request.tags,
            stop_after_seconds=left,
            dry_run=request.dry_run,
        )
        space = await limits(self._database, self._known, stored, destination)
        order = msgspec.structs.replace(order, space=space, estimate=request.estimate)
        if not request.dry_run:
            kept = await asyncio.to_thread(self._files.begin, job.stored.id, destination.text.name)
            order = msgspec.structs.replace(order, file_states=kept)

        async def note(opened: Opened) -> None:
            if known is None:
                await self._note_repository(stored, destination, opened)

        outcome = await self._converse(job, order, note)
        for run in (outcome.result or {}).get("runs") or []:
            run["job"] = job.stored.id
            run["restore_command"] = restore_hint(stored.text) if run.get("snapshot") else None
            run["key"] = {**(run.get("key") or {}), "sheet_command": sheet_hint(stored.text)}
            for entry in run.get("destinations") or []:
                entry["name"] = destination.text.name
        return outcome

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

    def _seconds_left(self, job: LiveJob, limit: int) -> int:
        """Of a limit that counts from the job's first start, over all destinations and restarts."""
        began_ns = job.stored.started_ns or self._clock.now_ns()
        return limit - (self._clock.now_ns() - began_ns) // 1_000_000_000

    def _own(self, stored: StoredSet, known: StoredRepository | None) -> tuple[OwnRepository, str]:
        """(the set's repository, the set's id in it), the same everywhere.

        The repository's id is drawn from the set's own, so that it is the same after a crash. An adopted set goes by
        the id that it had.
        """
        if known is not None:
            return OwnRepository(repository=known.repository), known.stored_set_id
        for sibling in self._known.repositories:
            if sibling.set_id == stored.id:
                place = self._known.destination(sibling.destination_id).text.place
                origin = inside(place, sibling.repository)
                return OwnRepository(repository=sibling.repository, copied_from=origin), sibling.stored_set_id
        return OwnRepository(repository="r" + stored.id[1:], adopts=True), stored.id

    async def _converse(self, job: LiveJob, order: AnyOrder, note: Note | None = None) -> Outcome:
        """Run one job process to its end. note: of the repository. Raises BackupError when it can't be started."""
        if job.ending is not None:
            return Outcome.interrupted(_STOPPED)
        child = await ChildJob.start(await with_access(self._known, order), self._environment)
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
            job.child = None
            job.open_ask = None
            ending = await child.end()
        if last is not None:
            return Outcome.said(last).stopped(_STOPPED)
        return Outcome.interrupted(_STOPPED) if job.ending is not None else Outcome.of(ending.error())

    async def _keep_run(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, outcome: Outcome, began_ns: int
    ) -> None:
        times_ns = (began_ns, self._clock.now_ns())
        run = run_records.run_of(job.stored, stored, destination, outcome, run_records.backup_facts(outcome), times_ns)
        await asyncio.wrap_future(self._database.write_always(rows.put_run, run))

    async def _keep_other_run(self, job: LiveJob, place: str, outcome: Outcome, began_ns: int) -> None:
        """Keep what a check or restore of a known set at a known destination came to."""
        restore = job.request.restore
        stored = next((one for one in self._known.sets if one.id == job.stored.set_id), None)
        destination = self._known.destination_of(place)
        if stored is None or destination is None or (restore is not None and restore.dry_run):
            return
        facts = run_records.other_facts(job.request, outcome)
        run = run_records.run_of(job.stored, stored, destination, outcome, facts, (began_ns, self._clock.now_ns()))
        await asyncio.wrap_future(self._database.write_always(rows.put_run, run))
