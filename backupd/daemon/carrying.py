"""Carries jobs out: orders for each destination, one job process after the other, what they say, how they ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import msgspec

from backupd.catalog import definitions
from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet, new_id
from backupd.catalog.jobs import StoredRun
from backupd.clock import Clock
from backupd.daemon.child import ChildJob
from backupd.daemon.definitions import Definitions
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome, joined
from backupd.daemon.planning import backup_order, restore_hint
from backupd.errors import BackupError, DestinationUnreachableError, SkippedError, SourceNotFoundError
from backupd.model.events import Done, Failed
from backupd.model.jobs import ended_state
from backupd.model.orders import AnyOrder, OwnRepository


class Carrier:
    """What a job needs to be carried out."""

    def __init__(
        self, database: Database, known: Definitions, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        """environment: of job processes."""
        self._database, self._known, self._clock, self._environment = database, known, clock, environment

    def new_id(self) -> str:
        """Of a new job."""
        return new_id("j")

    async def carry(self, job: LiveJob) -> Outcome:
        """Do all that a job is about. Raises BackupError where it can't be begun."""
        request = job.request
        order = request.restore or request.check
        if order is not None:
            return await self._converse(job, order)
        stored = self._known.set_by_id(job.stored.set_id or "")
        wanted = (request.backup.to if request.backup is not None else []) or [
            self._known.destination(name).id for name in stored.text.to
        ]
        named: list[tuple[str, Outcome]] = []
        for destination_id in wanted:
            destination = self._known.destination(destination_id)
            outcome = await self._back_up(job, stored, destination)
            named.append((destination.text.name, outcome))
            if outcome.was_stopped:
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
        if job.request.backup is None or not job.request.backup.dry_run:
            await self._keep_run(job, stored, destination, outcome, began_ns)
        return outcome

    async def _try_to_back_up(self, job: LiveJob, stored: StoredSet, destination: StoredDestination) -> Outcome:
        request = job.request.backup
        if request is None:
            raise SourceNotFoundError("the job names nothing to do")
        known = self._known.repository(stored.id, destination.id)
        own = self._own(stored, destination, known)
        order = await asyncio.to_thread(
            backup_order,
            stored,
            destination,
            known,
            own,
            tags=request.tags,
            stop_after_seconds=request.stop_after_seconds,
            dry_run=request.dry_run,
        )
        outcome = await self._converse(job, order)
        runs = (outcome.result or {}).get("runs") or []
        repository = (outcome.result or {}).get("repository") or {}
        if runs and repository and known is None and not request.dry_run:
            found = StoredRepository(
                set_id=stored.id,
                destination_id=destination.id,
                repository=repository["id"],
                stored_set_id=runs[0]["set_id"],
            )
            await asyncio.wrap_future(self._database.write_always(definitions.put_repository, found))
            await self._known.reload()
        for run in runs:
            run["job"] = job.stored.id
            run["restore_command"] = restore_hint(stored.text) if run.get("snapshot") else None
            for entry in run.get("destinations") or []:
                entry["name"] = destination.text.name
        return outcome

    def _own(
        self, stored: StoredSet, destination: StoredDestination, known: StoredRepository | None
    ) -> OwnRepository:
        """The set's repository: one id everywhere, drawn from the set's own, so that it is the same after a crash."""
        if known is not None:
            return OwnRepository(repository=known.repository)
        siblings = [one for one in self._known.repositories if one.set_id == stored.id]
        for sibling in siblings:
            place = self._known.destination(sibling.destination_id).text.place
            return OwnRepository(
                repository=sibling.repository, copied_from=os.path.join(place, sibling.repository)
            )
        return OwnRepository(repository="r" + stored.id[1:], adopts=True)

    async def _converse(self, job: LiveJob, order: AnyOrder) -> Outcome:
        """Run one job process to its end. Raises BackupError when it can't be started."""
        child = await ChildJob.start(order, self._environment)
        job.child = child
        last: Done | Failed | None = None
        try:
            if job.asked_to_end is not None:
                child.kill()
            async for event in child.events():
                if isinstance(event, Done | Failed):
                    last = event
                    break
                job.hear(event)
        finally:
            job.child = None
            job.open_ask = None
            ending = await child.end()
        if last is not None:
            return Outcome.said(last)
        if job.asked_to_end is not None:
            return Outcome.interrupted("cancelled")
        failed = BackupError(
            f"the job process {ending} before it was done",
            hint="what was stored stays; run it again. If memory ran out, set jobs: 1",
        )
        return Outcome.of(failed)

    async def _keep_run(
        self, job: LiveJob, stored: StoredSet, destination: StoredDestination, outcome: Outcome, began_ns: int
    ) -> None:
        runs = (outcome.result or {}).get("runs") or []
        facts = runs[0] if runs else {"exit": outcome.exit_code, "error": outcome.error}
        run = StoredRun(
            job_id=job.stored.id,
            set_id=stored.id,
            destination_id=destination.id,
            destination_name=destination.text.name,
            kind=job.stored.kind,
            state=ended_state(outcome.exit_code, outcome.problem_count),
            snapshot=runs[0].get("snapshot") if runs else None,
            exit_code=outcome.exit_code,
            started_ns=began_ns,
            finished_ns=self._clock.now_ns(),
            facts=msgspec.to_builtins(facts),
        )
        await asyncio.wrap_future(self._database.write_always(rows.put_run, run))
