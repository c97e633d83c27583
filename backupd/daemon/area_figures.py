"""How much the areas of a set hold at a destination: from runs that counted it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.model.areas import Areas, Statistics, areas_of


def newest(
    runs: Iterable[StoredRun],
    repositories: Sequence[StoredRepository],
    stored: StoredSet,
    destination: StoredDestination,
    snapshot: str | None,
    emptied_ns: int = 0,
) -> Areas | None:
    """As the last run that looked after the repository counted them; None: none did.

    runs: of all sets, for one of another set counts all that its repository holds. snapshot: the set's last good one.
    emptied_ns: when all of the set was purged there; what was counted before says nothing any more.
    """
    pairs = ((row.set_id, row.destination_id, row) for row in repositories)
    own = next((row for of, at, row in pairs if (of, at) == (stored.id, destination.id)), None)
    if own is None:
        return None
    found = [told for run in runs if run.destination_id == destination.id and (told := _told(run)) is not None]
    of_it = [one for one in found if one.repository == own.repository and one.as_of_ns > emptied_ns]
    last = max(of_it, key=lambda one: one.as_of_ns, default=None)
    return areas_of(last, own.stored_set_id, snapshot) if last is not None else None


def seen(run: StoredRun, name: str) -> int | None:
    """What a backup saw of its sources. name: `files` or `bytes`."""
    told = run.facts.get(name)
    count = told.get("seen") if isinstance(told, dict) else None
    return count if isinstance(count, int) else None


def _told(run: StoredRun) -> Statistics | None:
    try:
        told = run.facts.get("statistics")
        return msgspec.convert(told, Statistics) if told is not None else None
    except msgspec.ValidationError:
        # Of another version.
        return None
