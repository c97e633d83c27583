"""How much each set's repository took at a destination, a row a day: kept longer than the runs that told it."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.catalog.database import Connection

DAY_NS = 86_400_000_000_000


class SizeOfDay(msgspec.Struct, frozen=True):
    """At the end of the day's last run that told."""

    time_ns: int
    held_bytes: int
    free_bytes: int | None


Sizes = dict[tuple[str, str], list[SizeOfDay]]
"""(set id, destination id) -> by time."""


def note(connection: Connection, copy: tuple[str, str], time_ns: int, kind: str, facts: dict[str, Any]) -> None:
    """Keep what a run told of its destination, if it did. copy: (set id, destination id). facts: of the run."""
    held, free = _told(kind, facts)
    if held is None:
        return
    connection.execute(
        "INSERT INTO sizes_by_day (set_id, destination_id, day, time_ns, held_bytes, free_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (set_id, destination_id, day) DO UPDATE SET time_ns = excluded.time_ns,"
        " held_bytes = excluded.held_bytes, free_bytes = COALESCE(excluded.free_bytes, free_bytes)"
        " WHERE excluded.time_ns >= time_ns",
        (*copy, time_ns // DAY_NS, time_ns, held, free),
    )


def since(connection: Connection, time_ns: int) -> Sizes:
    """Of all sets and destinations since the day of a time."""
    found: Sizes = {}
    rows = connection.execute(
        "SELECT set_id, destination_id, time_ns, held_bytes, free_bytes FROM sizes_by_day WHERE day >= ?"
        " ORDER BY set_id, destination_id, day",
        (time_ns // DAY_NS,),
    )
    for set_id, destination_id, told_ns, held, free in rows:
        found.setdefault((set_id, destination_id), []).append(SizeOfDay(told_ns, held, free))
    return found


def _told(kind: str, facts: dict[str, Any]) -> tuple[int | None, int | None]:
    """Bytes taken and left. A replication tells of the place that it copied to."""
    entries = facts.get("destinations") if kind == "backup" else None
    first = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    sizes = facts.get("bytes") if kind == "replicate" else None
    held = sizes.get("held") if isinstance(sizes, dict) else first.get("held_bytes")
    free = first.get("free_bytes")
    return held if isinstance(held, int) else None, free if isinstance(free, int) else None
