"""Single values that a daemon keeps from one start to the next; as functions of a connection."""

from __future__ import annotations

from backupd.catalog.database import Connection


def fact(connection: Connection, key: str) -> str | None:
    """A value, None when there is none."""
    row = connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row is not None else None


def put_fact(connection: Connection, key: str, value: str) -> None:
    """Keep a value under a key, in place of an earlier one."""
    connection.execute(
        "INSERT INTO facts (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def drop_fact(connection: Connection, key: str) -> None:
    """Keep nothing under a key."""
    connection.execute("DELETE FROM facts WHERE key = ?", (key,))
