"""What follows a backup at one destination: first retention, then migration, each where it is asked for."""

from __future__ import annotations

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.daemon import migrating, periodic, quotas, retaining
from backupd.daemon.definitions import Definitions
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import Outcome


async def follow_up(
    converse: migrating.Converse,
    known: Definitions,
    database: Database,
    job: LiveJob,
    stored: StoredSet,
    destination: StoredDestination,
    outcome: Outcome,
    now_ns: int,
) -> Outcome:
    """How the run ended at a destination, with what came of the rest and of the check before it.

    converse: carries an order out. now_ns: of it hangs how much of the job's time is left.
    """
    outcome = await retaining.after_backup(converse, known, job, stored, destination, outcome)
    if migrating.is_due(known, job, stored, destination, outcome):
        space = await quotas.limits(database, known, stored, destination)
        outcome = await migrating.after_backup(converse, known, job, stored, destination, outcome, space, now_ns)
    return periodic.told_of(job, destination, outcome)
