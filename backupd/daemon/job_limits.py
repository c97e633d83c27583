"""How hard a part of a backup's job may work, and how long."""

from __future__ import annotations

from backupd.catalog.definitions import StoredSet
from backupd.daemon.live_job import LiveJob
from backupd.daemon.requests import BackupRequest
from backupd.errors import StoppedError
from backupd.model.orders import Limits
from backupd.rules.definition_rules import duration


def limits_of(job: LiveJob, stored: StoredSet, request: BackupRequest, now_ns: int) -> Limits:
    """Raises StoppedError when the job's time is over."""
    limit = request.stop_after_seconds or duration(stored.text.stop_after)
    # Of the job's first start, over all destinations and restarts, but without the checks before it.
    began_ns = (job.stored.started_ns or now_ns) + job.checked_ns
    left = limit - (now_ns - began_ns) // 1_000_000_000 if limit is not None else None
    if left is not None and left <= 0:
        raise StoppedError(
            "the time given by --stop-after is over", hint="what was stored stays; the next run goes on from it"
        )
    return Limits(
        jobs=stored.text.jobs,
        polite=stored.text.polite,
        stop_after_seconds=left,
        upload_rate=request.upload_rate,
        download_rate=request.download_rate,
    )
