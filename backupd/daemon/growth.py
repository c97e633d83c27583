"""How fast what is stored grows at each destination, and when that will be full: from the sizes of days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backupd.catalog import sizes
from backupd.catalog.database import Connection
from backupd.catalog.definitions import StoredDestination, StoredRepository
from backupd.model.structs import Struct
from backupd.rules import forecast
from backupd.rules.definition_rules import size


class Growth(Struct, frozen=True, kw_only=True):
    """Of a set's repository at a destination."""

    bytes_a_day: int | None
    """None: too little is known."""
    told_ns: int
    held_bytes: int
    free_bytes: int | None
    """Left there when that was told last."""
    free_ns: int | None
    """When that was: a backup tells it, a replication does not."""


Growths = Mapping[tuple[str, str], Growth]
"""(set id, destination id) -> its growth."""


def read(connection: Connection, now_ns: int) -> dict[tuple[str, str], Growth]:
    """Of all that told something in the last two months."""
    found = sizes.since(connection, max(0, now_ns - forecast.DAYS * sizes.DAY_NS))
    return {copy: _growth(days) for copy, days in found.items()}


def full_at(
    growths: Growths, repositories: Sequence[StoredRepository], destination: StoredDestination
) -> int | None:
    """When a destination is full, or its quota used up; None: not to be told, or never at this rate.

    Sets that share a repository there grow together, and count once; those that are forgotten do not grow.
    """
    names = {row.set_id: row.repository for row in repositories if row.destination_id == destination.id}
    here: dict[str, Growth] = {}
    left_at: list[tuple[int, int]] = []
    for (set_id, at), one in growths.items():
        name = names.get(set_id) if at == destination.id else None
        if name is not None:
            here[name] = max(here.get(name, one), one, key=lambda growth: growth.told_ns)
            if one.free_bytes is not None and one.free_ns is not None:
                left_at.append((one.free_ns, one.free_bytes))
    rate = sum(one.bytes_a_day or 0 for one in here.values())
    ends = []
    if left_at:
        free_ns, free_bytes = max(left_at)
        ends.append(forecast.full_at(free_bytes, rate, free_ns))
    quota = size(destination.text.quota)
    if quota is not None and here:
        left = quota - sum(one.held_bytes for one in here.values())
        ends.append(forecast.full_at(left, rate, max(one.told_ns for one in here.values())))
    return min((end for end in ends if end is not None), default=None)


def _growth(days: Sequence[sizes.SizeOfDay]) -> Growth:
    last = days[-1]
    free = next((day for day in reversed(days) if day.free_bytes is not None), None)
    points = [(day.time_ns, day.held_bytes) for day in days]
    return Growth(
        bytes_a_day=forecast.growth(points),
        told_ns=last.time_ns,
        held_bytes=last.held_bytes,
        free_bytes=free.free_bytes if free is not None else None,
        free_ns=free.time_ns if free is not None else None,
    )
