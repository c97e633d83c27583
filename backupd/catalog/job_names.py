"""Names of files in what is kept of jobs: taken out where the files were deleted from the backups."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.catalog.database import Connection


def forget(connection: Connection, set_id: str, paths: Sequence[bytes]) -> list[str]:
    """Take names of files out of logs and results of a set's jobs; returns the ids of these jobs.

    paths: only what is one of these or lies below one; empty: all.
    """
    jobs = [row[0] for row in connection.execute("SELECT id FROM jobs WHERE set_id = ?", (set_id,))]
    of_set = "job_id IN (SELECT id FROM jobs WHERE set_id = ?)"
    if not paths:
        connection.execute(f"DELETE FROM log WHERE {of_set} AND path IS NOT NULL", (set_id,))
    for path in paths:
        where = f"{of_set} AND (CAST(path AS BLOB) = ? OR substr(CAST(path AS BLOB), 1, ?) = ?)"
        below = path + b"/"
        connection.execute(f"DELETE FROM log WHERE {where}", (set_id, path, len(below), below))
    _clean(connection, "jobs", "id", "result", set_id, paths)
    for table in ("runs", "newest_runs"):
        _clean(connection, table, "rowid", "facts", set_id, paths)
    return jobs


def _clean(connection: Connection, table: str, key: str, column: str, set_id: str, paths: Sequence[bytes]) -> None:
    rows = connection.execute(f"SELECT {key}, {column} FROM {table} WHERE set_id = ?", (set_id,)).fetchall()
    for identity, text in rows:
        value = msgspec.json.decode(text) if text is not None else None
        cleaned = without_names(value, paths)
        if cleaned != value:
            encoded = msgspec.json.encode(cleaned).decode()
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (encoded, identity))


def without_names(value: Any, paths: Sequence[bytes]) -> Any:
    """A result without entries that name files, in any list of it; without the command that restores one file."""
    if isinstance(value, dict):
        kept = {name: without_names(one, paths) for name, one in value.items()}
        return {name: None if name == "restore_one_command" else one for name, one in kept.items()}
    if isinstance(value, list):
        return [without_names(one, paths) for one in value if not _names(one, paths)]
    return value


def _names(entry: Any, paths: Sequence[bytes]) -> bool:
    """Whether an entry of a list is about a file that is meant."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return False
    whole = entry.get("path_b64")
    path = base64.b64decode(whole) if isinstance(whole, str) else entry["path"].encode()
    return not paths or any(path == one or path.startswith(one + b"/") for one in paths)
