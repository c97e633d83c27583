"""What the daemon forgets when backup data was deleted: where it was, and what its jobs say of files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backupd.catalog import definitions, job_names
from backupd.catalog.database import Database
from backupd.daemon.definitions import Definitions
from backupd.daemon.job_files import JobFiles
from backupd.daemon.outcome import Outcome
from backupd.model.places import split_inside
from backupd.model.purge_orders import PurgeOrder
from backupd.rules import names
from backupd.rules.picking import is_of_host

_WAITS = 23
"""What was meant can't be restored any more where anything was changed at all; a part of its space waits."""


def is_done(outcome: Outcome) -> bool:
    """Whether what was meant can't be restored any more."""
    return outcome.exit_code == 0 or (outcome.exit_code == _WAITS and bool((outcome.result or {}).get("changed")))


async def forget(database: Database, known: Definitions, files: JobFiles, order: object, outcome: Outcome) -> list[str]:
    """After a job: nothing for any but a purge. Sets, schedules and destinations stay. Ids of the sets it was about."""
    destination = known.destination_of(order.place) if isinstance(order, PurgeOrder) else None
    if not isinstance(order, PurgeOrder) or destination is None or not is_done(outcome) or order.snapshots:
        return []
    repository = split_inside(order.place)[1]
    there = [one for one in known.repositories if (one.destination_id, one.repository) == (destination.id, repository)]
    ids = _of_this_machine(known, order.set_names)
    meant = [one for one in there if not order.set_names or one.stored_set_id in ids]
    if order.host_name is not None:
        of_host = {one["id"] for one in (outcome.result or {}).get("sets") or []}
        meant = [one for one in there if one.stored_set_id in of_host]
    for one in meant:
        jobs = await asyncio.wrap_future(database.write_always(job_names.forget, one.set_id, order.paths))
        await asyncio.to_thread(files.forget, jobs)
    if order.whole and outcome.exit_code == 0:
        # The next run makes a new repository there.
        await asyncio.wrap_future(database.write_always(definitions.remove_repository, destination.id, repository))
        await known.reload()
    return [one.set_id for one in meant]


def _of_this_machine(known: Definitions, words: Sequence[str]) -> set[str]:
    """Ids of an order's sets that were purged of what this machine stored. words: ID or HOST:ID."""
    pairs = map(names.split_host, words)
    return {set_id for host, set_id in pairs if host is None or is_of_host(known.owners.name, host)}
