"""Up to which moment it has been decided what a schedule asks for; as functions of a connection."""

from __future__ import annotations

import msgspec

from backupd.catalog.database import Connection


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """Of one schedule."""

    set_id: str
    schedule: str
    rule: str
    """What the schedule said then, and in which zone: with another one it begins anew."""
    handled_ns: int


def handled(connection: Connection) -> list[Handled]:
    """Of all schedules."""
    found = connection.execute("SELECT set_id, schedule, rule, handled_ns FROM schedules_handled")
    return [Handled(set_id=s, schedule=n, rule=r, handled_ns=h) for s, n, r, h in found]


def put_handled(connection: Connection, one: Handled) -> None:
    """Keep one."""
    connection.execute(
        "INSERT OR REPLACE INTO schedules_handled (set_id, schedule, rule, handled_ns) VALUES (?, ?, ?, ?)",
        (one.set_id, one.schedule, one.rule, one.handled_ns),
    )


def remove_handled(connection: Connection, set_id: str, schedule: str) -> None:
    """Forget one: the schedule is no more."""
    connection.execute("DELETE FROM schedules_handled WHERE set_id = ? AND schedule = ?", (set_id, schedule))
