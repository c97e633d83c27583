"""Which destinations a job works at, for limits on how many may work at one."""

from __future__ import annotations

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.definitions import Definitions
from backupd.daemon.live_job import LiveJob
from backupd.errors import NotFoundError


def destinations_of(known: Definitions, job: LiveJob) -> frozenset[str]:
    """Names of those that have a limit and that a job works at; restores wait for no limit, so they have none."""
    request = job.request
    limited = {one.text.name for one in known.destinations if one.text.jobs_at_once is not None}
    if not limited or request.kind == "restore":
        return frozenset()
    if request.backup is not None:
        return frozenset(one.text.name for one in _of_backup(known, job)) & limited
    order = request.check or request.free or request.purge or request.replicate
    places = [order.place] if order is not None else []
    places += [request.replicate.to] if request.replicate is not None else []
    found = (known.destination_of(place) for place in places if place)
    return frozenset(one.text.name for one in found if one is not None) & limited


def _of_backup(known: Definitions, job: LiveJob) -> list[StoredDestination]:
    try:
        words = (job.request.backup.to if job.request.backup is not None else []) or known.set_by_id(
            job.stored.set_id or ""
        ).text.to
        return [known.destination(word) for word in words]
    except NotFoundError:
        # It is removed: the job will say so when it begins.
        return []


def limits(known: Definitions) -> dict[str, int]:
    """Name of each destination that has a limit -> how many jobs may work there at once."""
    return {
        one.text.name: one.text.jobs_at_once for one in known.destinations if one.text.jobs_at_once is not None
    }
