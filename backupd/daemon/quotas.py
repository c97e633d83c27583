"""How much is stored at destinations and how much may be: from runs that told; mostly pure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from backupd.catalog import jobs as rows
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon.definitions import Definitions
from backupd.model.quotas import SpaceLimits
from backupd.model.status import QuotaUse
from backupd.rules.definition_rules import size


async def limits(
    database: Database, known: Definitions, stored: StoredSet, destination: StoredDestination
) -> SpaceLimits | None:
    """What a run of a set may store at a destination; None: no limit."""
    set_quota, quota = size(stored.text.quota), size(destination.text.quota)
    if set_quota is None and quota is None:
        return None
    runs = await asyncio.wrap_future(database.read(rows.last_runs)) if quota is not None else []
    held = held_there(runs, known.repositories, destination.id)
    own = known.repository(stored.id, destination.id)
    return SpaceLimits(
        set_name=stored.text.name,
        destination=destination.text.name,
        set_quota_bytes=set_quota,
        destination_quota_bytes=quota,
        others_bytes=sum(taken for name, taken in held.items() if own is None or name != own.repository),
    )


def held_there(
    runs: Iterable[StoredRun], repositories: Sequence[StoredRepository], destination_id: str
) -> dict[str, int]:
    """What each repository of a known set takes at a destination, as the newest run that told of it said.

    Of a set that was forgotten nobody knows whether what it stored is still there: it does not count.
    """
    names = {row.set_id: row.repository for row in repositories if row.destination_id == destination_id}
    found: dict[str, tuple[int, int]] = {}
    for run in runs:
        name, told = names.get(run.set_id or ""), told_bytes(run)
        if run.destination_id == destination_id and name is not None and told is not None:
            found[name] = max(found.get(name, (0, 0)), (run.finished_ns, told))
    return {name: taken for name, (_, taken) in found.items()}


def told_bytes(run: StoredRun, name: str = "held_bytes") -> int | None:
    """What the repository took at the end of a backup, where it told: one that a quota refused tells in its error.

    name: of the count in the entries of destinations.
    """
    entries = [one for one in run.facts.get("destinations") or [] if isinstance(one, dict)]
    context = (run.facts.get("error") or {}).get("context") or {}
    told = next((one.get(name) for one in (*entries, context) if name in one), None)
    return told if isinstance(told, int) and run.kind == "backup" else None


def held_everywhere(
    runs: Sequence[StoredRun], repositories: Sequence[StoredRepository], destinations: Sequence[StoredDestination]
) -> dict[str, int]:
    """What is stored at each destination that has a quota, by its id."""
    limited = [one.id for one in destinations if one.text.quota is not None]
    return {one: sum(held_there(runs, repositories, one).values()) for one in limited}


def uses(
    stored: StoredSet, destination: StoredDestination, own_bytes: int | None, held: Mapping[str, int]
) -> list[QuotaUse]:
    """The quotas of a set at a destination. held: as of `held_everywhere`."""
    found: list[QuotaUse] = []
    if (quota := size(stored.text.quota)) is not None:
        found.append(_use("set", quota, own_bytes or 0))
    if (quota := size(destination.text.quota)) is not None:
        found.append(_use("destination", quota, held.get(destination.id, 0)))
    return found


def _use(of: Literal["set", "destination"], quota: int, used: int) -> QuotaUse:
    return QuotaUse(of=of, quota_bytes=quota, used_bytes=used, left_bytes=max(0, quota - used))
