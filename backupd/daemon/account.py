"""The quota of the account, which is this daemon: what its sets hold in source bytes, as runs told; mostly pure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon import quotas
from backupd.daemon.definitions import Definitions
from backupd.model.quotas import MOST_BYTES, AccountLimit, AccountUse
from backupd.rules.definition_rules import size


async def limit(
    database: Database, known: Definitions, stored: StoredSet, group: Sequence[StoredDestination]
) -> AccountLimit | None:
    """What a run of a set at some of its destinations is held against; None: the account has no quota."""
    quota = size(known.account_quota)
    if quota is None:
        return None
    runs = await asyncio.wrap_future(database.read(rows.last_runs))
    return limit_of(quota, known.sets, known.destinations, runs, stored, group)


def limit_of(
    quota_bytes: int,
    sets: Sequence[StoredSet],
    destinations: Sequence[StoredDestination],
    runs: Sequence[StoredRun],
    stored: StoredSet,
    group: Sequence[StoredDestination],
) -> AccountLimit:
    """The same of what is known. runs: the newest one of each set, destination, kind and exit code."""
    own = _held_at(stored, runs, destinations)
    ids = [one.id for one in group]
    others = sum(max(_held_at(one, runs, destinations).values(), default=0) for one in sets if one.id != stored.id)
    return AccountLimit(
        quota_bytes=quota_bytes,
        others_bytes=min(others, MOST_BYTES),
        elsewhere_bytes=max((held for place, held in own.items() if place not in ids), default=0),
        told_bytes=[own.get(place, 0) for place in ids],
    )


def use(
    quota: str | None, sets: Sequence[StoredSet], runs: Sequence[StoredRun], destinations: Sequence[StoredDestination]
) -> AccountUse | None:
    """What all sets hold. runs: the newest one of each set, destination, kind and exit code."""
    quota_bytes = size(quota)
    if quota_bytes is None:
        return None
    held = {one.text.name: _held_at(one, runs, destinations) for one in sets}
    stored = {run.set_id for run in runs if run.kind == "backup" and run.snapshot is not None}
    used = min(sum(max(found.values(), default=0) for found in held.values()), MOST_BYTES)
    return AccountUse(
        quota_bytes=quota_bytes,
        used_bytes=used,
        left_bytes=max(0, quota_bytes - used),
        uncounted=[one.text.name for one in sets if not held[one.text.name] and one.id in stored],
    )


def _held_at(
    stored: StoredSet, runs: Iterable[StoredRun], destinations: Sequence[StoredDestination]
) -> dict[str, int]:
    """What a set's snapshots hold by id of its destinations, where a run has told."""
    ids = {one.id for one in destinations if one.text.name in stored.text.to}
    newest: dict[str, tuple[int, int]] = {}
    for run in runs:
        told = quotas.told_bytes(run, "account_bytes")
        if run.set_id == stored.id and run.destination_id in ids and told is not None:
            newest[run.destination_id] = max(newest.get(run.destination_id, (0, 0)), (run.finished_ns, told))
    return {place: told for place, (_, told) in newest.items()}
