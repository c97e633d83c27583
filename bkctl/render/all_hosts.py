"""Machines of the repositories: a table for people, and JSON."""

from __future__ import annotations

from typing import Any

from backupd.sizes import count
from bkctl.all_hosts import AllHosts
from bkctl.render.status import ago
from bkctl.render.times import rfc3339
from bkctl.text import clip, escape, table

_NAME_CELLS = 20


def document(found: AllHosts) -> dict[str, Any]:
    """As JSON output shows it."""
    return {
        "time": rfc3339(found.now_ns),
        "hosts": [
            {
                "host": one.host,
                "set": one.set_name,
                "set_id": one.set_id,
                "destination": one.destination,
                "snapshot": one.snapshot,
                "time": one.time,
                "snapshots": one.snapshots,
                "age_seconds": one.age_seconds,
                "limit_seconds": one.limit_seconds,
                "state": one.state,
                "reason": one.reason or None,
            }
            for one in found.sets
        ],
        "unread": [
            {"destination": one.destination, "repository": one.repository, "error": error}
            for one, _, error in found.unread
        ],
        "next": None,
    }


def lines(found: AllHosts) -> list[str]:
    """The table, what could not be read, the sum."""
    rows = [
        (
            clip(one.host, _NAME_CELLS),
            clip(one.set_name, _NAME_CELLS),
            clip(one.destination, _NAME_CELLS),
            f"{ago(one.age_seconds)} ago",
            ago(one.limit_seconds),
            one.state.upper() if one.state == "silent" else one.state,
        )
        for one in found.sets
    ]
    unread = [
        f"{escape(one.destination)} was not read{' whole' * (code == 20)}: {escape(error['message'])}"
        for one, code, error in found.unread
    ]
    hosts = len({one.host for one in found.sets})
    silent = sum(one.state == "silent" for one in found.sets)
    told = f"{count(hosts, 'machine')}, {count(len(rows), 'set')}" + (f": {silent} silent" if silent else "")
    shown = table(rows, ("HOST", "SET", "DESTINATION", "LAST GOOD", "LIMIT", "STATE"))
    return [*shown, *([""] if shown else []), *unread, f"{told}." if rows else "Nothing is stored yet."]
