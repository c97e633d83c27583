"""The quota of the account, which is this daemon: what its sets hold in source bytes, as runs told; mostly pure."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon import quotas
from backupd.daemon.definitions import Definitions
from backupd.model.account import AccountLimit, AccountUse
from backupd.rules.definition_rules import size


async def limit(
    database: Database, known: Definitions, stored: StoredSet, group: Sequence[StoredDestination]
) -> AccountLimit | None:
    """What a run of a set at some of its destinations is held against; None: the account has no quota."""
    quota = size(known.account_quota)
    if quota is None:
        return None
    runs = await asyncio.wrap_future(database.read(rows.last_runs))
    others = (_held(one, runs, known.destinations) for one in known.sets if one.id != stored.id)
    elsewhere = _held(stored, runs, known.destinations, {one.id for one in group})
    return AccountLimit(
        quota_bytes=quota, others_bytes=sum(one or 0 for one in others), elsewhere_bytes=elsewhere or 0
    )


def use(
    quota: str | None, sets: Sequence[StoredSet], runs: Sequence[StoredRun], destinations: Sequence[StoredDestination]
) -> AccountUse | None:
    """What all sets hold. runs: the newest one of each set, destination, kind and exit code."""
    quota_bytes = size(quota)
    if quota_bytes is None:
        return None
    held = {one.text.name: _held(one, runs, destinations) for one in sets}
    stored = {run.set_id for run in runs if run.kind == "backup" and run.snapshot is not None}
    used = sum(found or 0 for found in held.values())
    return AccountUse(
        quota_bytes=quota_bytes,
        used_bytes=used,
        left_bytes=max(0, quota_bytes - used),
        uncounted=[one.text.name for one in sets if held[one.text.name] is None and one.id in stored],
    )


def _held(
    stored: StoredSet,
    runs: Iterable[StoredRun],
    destinations: Sequence[StoredDestination],
    without: Collection[str] = (),
) -> int | None:
    """What a set's snapshots hold, at that one of its destinations where it is most; None: no run has told.

    without: ids of destinations that don't count.
    """
    ids = {one.id for one in destinations if one.text.name in stored.text.to} - set(without)
    newest: dict[str, tuple[int, int]] = {}
    for run in runs:
        told = quotas.told_bytes(run, "account_bytes")
        place = run.destination_id or ""
        if run.set_id == stored.id and place in ids and told is not None:
            newest[place] = max(newest.get(place, (0, 0)), (run.finished_ns, told))
    return max((told for _, told in newest.values()), default=None)
