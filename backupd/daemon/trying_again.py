"""Scheduled runs that failed for a while only are tried again, before the next one is due."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.clock import to_datetime
from backupd.daemon.coming_runs import ComingRuns
from backupd.daemon.definitions import Definitions
from backupd.daemon.jobs import Jobs
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.errors import BackupError

_DELAYS_SECONDS = (300, 900, 3600)
"""After the first failure, the second, and each one after that."""
_MOST_ALONE = 24
"""Tries of a run after which none is due: about a day."""
_SECOND_NS = 1_000_000_000

_log = logging.getLogger("backupd.schedules")


class Retries:
    """All on the event loop."""

    def __init__(self, jobs: Jobs, known: Definitions, ahead: ComingRuns) -> None:
        self._jobs, self._known, self._ahead = jobs, known, ahead
        self._tasks: set[asyncio.Task[None]] = set()
        jobs.follow_ends(self._hear_end)

    async def end_orphans(self) -> None:
        """End what waits for its next try and whose schedule is off, or no more."""
        for job in list(self._jobs.live.values()):
            request = job.request.backup
            if request is None or not request.attempt or job.is_begun or request.schedule is None:
                continue
            stored = self._known.find_set(job.stored.set_id)
            if stored is None or not self._is_on(stored, request.schedule):
                _log.info("job %s is not tried again: its schedule is off", job.stored.id[:9])
                await self._jobs.cancel(job.stored.id, "term")

    def _hear_end(self, ended: StoredJob) -> None:
        if ended.kind == "backup" and ended.schedule is not None and ended.orders and not self._jobs.is_stopping:
            task = asyncio.ensure_future(self._try_again(ended))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _try_again(self, ended: StoredJob) -> None:
        stored, request = self._known.find_set(ended.set_id), JobRequest.restored(ended.orders).backup
        if stored is None or request is None or self._jobs.is_busy(stored.id) is not None:
            return
        if not self._is_on(stored, request.schedule):
            return
        coming = self._ahead.next_of(stored)
        again = next_try(ended, request, coming[0] if coming is not None else None, self._destination_id)
        if again is None:
            return
        whole, name = JobRequest(kind="backup", backup=again), stored.text.name
        try:
            job = await self._jobs.add(whole, set_id=stored.id, set_name=name, uid=os.geteuid())
        except BackupError as error:
            _log.error("%s is not tried again: %s", name, error.message)
            return
        _log.info("%s: job %s waits for %s", name, job.stored.id[:9], job.waits_for)

    def _is_on(self, stored: StoredSet, schedule: str | None) -> bool:
        return any(one.text.name == schedule for one in self._ahead.schedules_of(stored))

    def _destination_id(self, name: str) -> str | None:
        return next((one.id for one in self._known.destinations if one.text.name == name), None)


def next_try(
    stored: StoredJob, request: BackupRequest, next_due_ns: int | None, destination_id: Callable[[str], str | None]
) -> BackupRequest | None:
    """What is tried again of a scheduled run, and when; None: nothing is.

    stored: as it ended. next_due_ns: when the set runs anyway. destination_id: by name; None: it is gone.
    """
    if request.schedule is None or request.dry_run or stored.finished_ns is None:
        return None
    failed = {name: error for name, error in _failed(stored).items() if error.get("retryable")}
    if not failed:
        return None
    at_ns = stored.finished_ns + _DELAYS_SECONDS[min(request.attempt, len(_DELAYS_SECONDS) - 1)] * _SECOND_NS
    if request.attempt >= _MOST_ALONE if next_due_ns is None else next_due_ns <= at_ns:
        return None
    to = [found for name in failed if name and (found := destination_id(name)) is not None]
    return msgspec.structs.replace(
        request,
        to=to or request.to,
        attempt=request.attempt + 1,
        not_before_ns=at_ns,
        waits_because=str(next(iter(failed.values())).get("message", ""))[:512],
    )


def held_back(request: BackupRequest, now_ns: int, zone: tzinfo) -> str:
    """What a run waits for that is tried again later; empty: its time has come."""
    if now_ns >= request.not_before_ns:
        return ""
    at = to_datetime(request.not_before_ns).astimezone(zone).strftime("%H:%M %Z")
    return f"its next try at {at}: {request.waits_because}"


def _failed(stored: StoredJob) -> dict[str, dict[str, Any]]:
    """Name of each destination at which the run failed -> its error; one without a name: the run as a whole."""
    runs = (stored.result or {}).get("runs") or []
    places = [one for run in runs for one in run.get("destinations") or []]
    failed = {str(one.get("name")): one["error"] for one in places if isinstance(one.get("error"), dict)}
    if not failed and stored.state == "failed" and stored.error is not None:
        failed = {"": stored.error}
    return failed
