"""Old jobs leave the catalog: which may go, and how they go, a moment's work at a time; functions of a connection.

Pages that they leave are used for what comes; the file does not shrink (docs/reports.md says why).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from backupd.catalog.database import Connection
from backupd.catalog.jobs import LEFT_SNAPSHOT, UNDER_WAY
from backupd.model.reports import UNENDED

STAYING = 20
"""Of each set, kind and schedule the newest so many stay, however old: who runs once a quarter has a history, too."""
_LOOKED_AT = 500
_MOST_JOBS = 50
_MOST_LINES = 5000
"""Taken out in one transaction."""


class Place(msgspec.Struct, frozen=True):
    """Up to where was looked, the oldest job first."""

    created_ns: int = -1
    id: str = ""


class Found(msgspec.Struct, frozen=True):
    """What one look gave."""

    jobs: list[str]
    """That may go."""
    looked_up_to: Place | None
    """None: at the end of what is old."""


class Spared(msgspec.Struct, frozen=True):
    """What a pass leaves where it is."""

    jobs: frozenset[str]
    newest_ns: dict[tuple[str | None, str, str | None], int | None] = {}
    """(set id, kind, schedule) -> when the last of their newest `STAYING` jobs was asked for, None: they are fewer.
    `look` asks for it once a pass: those that come meanwhile let more of them stay."""


def spared(connection: Connection) -> Spared:
    """Jobs that others need: those that `status` shows and checks wait in, and the first good one of each copy.

    Also those under way: one that ends while a pass goes on may be such a one then.
    """
    # Before the others, for a run is kept before its job ends: what has ended by now is among them.
    under_way = connection.execute(f"SELECT id FROM jobs WHERE {UNDER_WAY}").fetchall()
    newest = connection.execute("SELECT job_id FROM newest_runs").fetchall()
    first = connection.execute(
        f"SELECT job_id, MIN(started_ns) FROM runs WHERE {LEFT_SNAPSHOT} GROUP BY set_id, destination_id"
    ).fetchall()
    return Spared(frozenset(row[0] for row in (*under_way, *newest, *first)))


def look(connection: Connection, before_ns: int, place: Place, kept: Spared) -> Found:
    """Jobs asked for before a time that may go, from a place on. kept: of the pass, as of `spared`."""
    rows = connection.execute(
        "SELECT id, set_id, kind, state, created_ns, schedule FROM jobs"
        " WHERE created_ns < ? AND created_ns >= ? AND (created_ns, id) > (?, ?) ORDER BY created_ns, id LIMIT ?",
        (before_ns, place.created_ns, place.created_ns, place.id, _LOOKED_AT),
    ).fetchall()
    jobs = [
        job
        for job, set_id, kind, state, created_ns, schedule in rows
        if state not in UNENDED
        and job not in kept.jobs
        and created_ns < (_newest_ns(connection, kept, (set_id, kind, schedule)) or 0)
    ]
    is_end = len(rows) < _LOOKED_AT
    return Found(jobs, None if is_end else Place(rows[-1][4], rows[-1][0]))


def remove(connection: Connection, jobs: Iterable[str]) -> list[str]:
    """Take jobs out with their runs and logs; returns those that are gone: not all where there was much to do.

    Where snapshots lie that they made stays known.
    """
    gone: list[str] = []
    lines_left = _MOST_LINES
    for job in jobs:
        if len(gone) == _MOST_JOBS or lines_left <= 0:
            break
        removed = connection.execute(
            "DELETE FROM log WHERE job_id = ? AND n <= (SELECT MIN(n) FROM log WHERE job_id = ?) + ?",
            (job, job, lines_left - 1),
        ).rowcount
        lines_left -= removed
        if connection.execute("SELECT 1 FROM log WHERE job_id = ? LIMIT 1", (job,)).fetchone() is not None:
            break
        connection.execute(
            "INSERT OR IGNORE INTO old_snapshots (snapshot, destination_id, set_id)"
            " SELECT snapshot, destination_id, set_id FROM runs WHERE job_id = ? AND snapshot IS NOT NULL",
            (job,),
        )
        connection.execute("DELETE FROM runs WHERE job_id = ?", (job,))
        connection.execute("DELETE FROM jobs WHERE id = ?", (job,))
        gone.append(job)
    return gone


def newest_ns(connection: Connection) -> int | None:
    """When the newest job was asked for; None: there is none."""
    found: int | None = connection.execute("SELECT MAX(created_ns) FROM jobs").fetchone()[0]
    return found


def used_bytes(connection: Connection) -> int:
    """What the catalog holds, pages that wait to be used again left out."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _newest_ns(connection: Connection, kept: Spared, group: tuple[str | None, str, str | None]) -> int | None:
    """As of `Spared.newest_ns`. Of what runs seldom it costs a look at all jobs of the set."""
    if group not in kept.newest_ns:
        found = connection.execute(
            "SELECT created_ns FROM jobs WHERE set_id IS ? AND kind = ? AND schedule IS ?"
            f" ORDER BY created_ns DESC LIMIT 1 OFFSET {STAYING - 1}",
            group,
        ).fetchone()
        kept.newest_ns[group] = found[0] if found is not None else None
    return kept.newest_ns[group]
