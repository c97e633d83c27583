"""Runs that ended before anything was read: a command, a condition or a snapshot of a file system was in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome

Keep = Callable[[LiveJob, StoredSet, StoredDestination, Outcome, int], Awaitable[None]]
"""Keeps what a run came to at a destination; the last is when it began, in nanoseconds since 1970."""


async def keep_unbegun(
    keep: Keep,
    job: LiveJob,
    stored: StoredSet,
    destinations: Sequence[StoredDestination],
    outcome: Outcome,
    began_ns: int,
) -> None:
    """Keep at each destination how it ended, but for one that goes on when the daemon is there again."""
    job.is_cut_short = job.goes_on(was_stopped=outcome.was_stopped)
    for destination in [] if job.is_cut_short else destinations:
        await keep(job, stored, destination, outcome, began_ns)
