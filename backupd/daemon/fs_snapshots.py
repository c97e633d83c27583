"""Snapshots of file systems around a set's runs: made by a process of their own, read from, removed.

What a former daemon left is removed once at the start, and before each run of the set that it was for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.clock import Clock
from backupd.daemon.child import ChildJob
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome
from backupd.daemon.source_fields import read_fields
from backupd.daemon.unbegun import Keep, keep_unbegun
from backupd.errors import BackupError
from backupd.model.events import Done, Failed, Item, Log, Step
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.grafts import Graft
from backupd.operations.fs_snapshots.record import has_leftovers

_log = logging.getLogger("backupd.jobs")


class FsSnapshots:
    """All on the event loop."""

    def __init__(self, clock: Clock, environment: Mapping[str, str]) -> None:
        """environment: of job processes."""
        self._clock, self._environment = clock, environment
        self._sweeping: asyncio.Task[None] | None = None

    def sweep(self, state: str) -> None:
        """Remove what a former daemon left; runs with snapshots wait for that. state: directory."""
        self._sweeping = asyncio.create_task(self._sweep(state))

    async def _sweep(self, state: str) -> None:
        if not await asyncio.to_thread(has_leftovers, state):
            return
        try:
            child = await ChildJob.start(FsSnapshotOrder(place="", verb="sweep"), self._environment)
        except BackupError as error:
            _log.warning("%s", error.message)
            return
        try:
            async for event in child.events():
                if isinstance(event, Log):
                    _log.warning("%s", event.message)
                if isinstance(event, Done | Failed):
                    break
        finally:
            await child.end()

    async def around(
        self,
        job: LiveJob,
        stored: StoredSet,
        destinations: Sequence[StoredDestination],
        run: Callable[[], Awaitable[Outcome]],
        keep: Keep,
    ) -> Outcome:
        """Have a run read its sources from snapshots. destinations: where it is kept how one ended that can't be made.

        Raises BackupError where no process can be started.
        """
        if self._sweeping is not None:
            await asyncio.shield(self._sweeping)
        began_ns = self._clock.now_ns()
        failed, warnings = await self._make(job, stored)
        try:
            if failed is not None:
                await keep_unbegun(keep, job, stored, destinations, failed, began_ns)
            outcome = failed if failed is not None else await run()
        finally:
            job.grafts = []
            # Also that one ran full while the run read from it.
            warnings += await self._remove(job)
        return msgspec.structs.replace(outcome, warnings=[*warnings, *outcome.warnings])

    async def looked_for(self, job: LiveJob, stored: StoredSet, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Have a dry run made, unless the run could not have its snapshots: then that is how it ends.

        Raises BackupError where no process can be started.
        """
        failed, warnings = await self._make(job, stored, only_look=True)
        outcome = failed if failed is not None else await run()
        return msgspec.structs.replace(outcome, warnings=[*warnings, *outcome.warnings])

    async def _make(
        self, job: LiveJob, stored: StoredSet, *, only_look: bool = False
    ) -> tuple[Outcome | None, list[str]]:
        """(how the run ended before it was begun, or None where it may be made; warnings)."""
        if job.ending is not None:
            return Outcome.interrupted("stopped before anything was read"), []
        text = stored.text
        order = FsSnapshotOrder(
            place="",
            verb="look" if only_look else "make",
            kind=text.fs_snapshot,
            fallback=text.fs_snapshot_fallback,
            set_id=stored.id,
            job_id=job.stored.id,
            **read_fields(text),
            run_as=text.run_as,
        )
        return await self._ask(job, order)

    async def _remove(self, job: LiveJob) -> list[str]:
        """Warnings: what can't be removed is in the log, too, and removed later."""
        try:
            _, warnings = await self._ask(job, FsSnapshotOrder(place="", verb="remove", job_id=job.stored.id))
        except BackupError as error:
            warnings = [f"the snapshots of file systems could not be removed: {error.message}"]
            job.log("warning", warnings[0])
        return warnings

    async def _ask(self, job: LiveJob, order: FsSnapshotOrder) -> tuple[Outcome | None, list[str]]:
        """Run its process: None, it did as it was told; warnings. What it removes it removes to the end."""
        child = await ChildJob.start(order, self._environment)
        last: Done | Failed | None = None
        is_making = order.verb in ("make", "look")
        try:
            if is_making:
                job.child = child
                if job.ending is not None:
                    await child.send(job.ending)
            async for event in child.events():
                if isinstance(event, Done | Failed):
                    last = event
                    break
                if isinstance(event, Item):
                    job.grafts = msgspec.convert(event.item["grafts"], list[Graft])
                elif is_making or not isinstance(event, Step):
                    job.hear(event)
        finally:
            job.child = None
            ending = await child.end()
        if isinstance(last, Failed):
            return Outcome.said(last).stopped("stopped before anything was read"), []
        return (None, last.warnings) if last is not None else (Outcome.of(ending.error()), [])
