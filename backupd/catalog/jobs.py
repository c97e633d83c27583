"""Jobs, their runs at each destination, and their logs; as functions of a connection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from backupd.catalog import sizes
from backupd.catalog.database import Connection
from backupd.model.jobs import ENDED, JobState, JobView, LogLine

_COLUMNS = (
    "id, kind, state, set_id, set_name, orders, caller_uid, created_ns, started_ns, finished_ns, exit_code, result,"
    " error, warnings, schedule"
)

LEFT_SNAPSHOT = (
    "kind IN ('backup', 'replicate') AND exit_code IN (0, 3) AND (snapshot IS NOT NULL OR kind = 'replicate')"
)
"""Of a run: it left a snapshot at its destination."""
UNDER_WAY = "jobs.state IN ('paused', 'queued', 'running')"
"""Of a job, as the index of them has it."""

Beside = Callable[[Connection], None]
"""What is written with a job."""


class StoredJob(msgspec.Struct, kw_only=True):
    """A job as the catalog holds it."""

    id: str
    kind: str
    state: JobState
    set_id: str | None
    set_name: str | None
    orders: bytes
    """What the daemon needs to carry it out, as it encoded it; holds no secret."""
    caller_uid: int
    created_ns: int
    started_ns: int | None = None
    finished_ns: int | None = None
    exit_code: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: list[str] = []
    schedule: str | None = None
    """Name of the schedule that asked for it."""


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a job came to at one destination."""

    job_id: str
    set_id: str
    destination_id: str
    destination_name: str
    kind: str
    state: JobState
    snapshot: str | None
    exit_code: int
    started_ns: int
    finished_ns: int
    facts: dict[str, Any]
    """The run as in `result.runs[]`."""


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs of the list are wanted; newest first."""

    set_id: str | None = None
    states: Sequence[str] = ()
    since_ns: int | None = None
    before: tuple[int, str] | None = None
    """(created, id) of the last one of the page before."""
    caller_uid: int | None = None
    limit: int = 50


def put_job(connection: Connection, job: StoredJob, beside: Beside | None = None) -> None:
    """Make or replace a job. beside: what is written in the same transaction."""
    values = (
        job.id,
        job.kind,
        job.state,
        job.set_id,
        job.set_name,
        job.orders,
        job.caller_uid,
        job.created_ns,
        job.started_ns,
        job.finished_ns,
        job.exit_code,
        _json(job.result),
        _json(job.error),
        _json(job.warnings),
        job.schedule,
    )
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES ({marks})", values)
    if beside is not None:
        beside(connection)


def put_run(connection: Connection, run: StoredRun, of_others: Iterable[str] = ()) -> None:
    """Keep what a job came to at a destination, and what is stored there since.

    of_others: ids of further sets of which it is the newest run, too, as of a purge of all that a repository holds.
    """
    _put_run(connection, run, ("runs", "newest_runs"))
    for set_id in of_others:
        _put_run(connection, msgspec.structs.replace(run, set_id=set_id), ("newest_runs",))
    sizes.note(connection, (run.set_id, run.destination_id), run.finished_ns, run.kind, run.facts)


def put_backup(connection: Connection, run: StoredRun, good: Collection[int]) -> None:
    """The same of a backup; what the job stored there before a restart stays what it came to. good: exit codes."""
    before = {one.destination_id: one.exit_code for one in runs_of(connection, run.job_id)}
    if run.exit_code in good or before.get(run.destination_id) not in good:
        put_run(connection, run)


def _put_run(connection: Connection, run: StoredRun, tables: Iterable[str]) -> None:
    values = (*(getattr(run, name) for name in run.__struct_fields__[:-1]), _json(run.facts))
    columns = ", ".join(run.__struct_fields__)
    for table in tables:
        # Of newest_runs the key is the place and the kind of end: a newer run takes the older one's row.
        connection.execute(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})", values
        )


def add_log(connection: Connection, job_id: str, lines: Iterable[LogLine]) -> None:
    """Append lines to a job's log."""
    connection.executemany(
        "INSERT OR IGNORE INTO log (job_id, n, time_ns, severity, step, message, path) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(job_id, line.n, line.time_ns, line.severity, line.step, _clean(line.message), line.path) for line in lines],
    )


def unended(connection: Connection) -> list[StoredJob]:
    """Jobs that have not ended, oldest first."""
    marks = ", ".join("?" * len(ENDED))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE state NOT IN ({marks}) ORDER BY created_ns", tuple(ENDED)
    )
    return [_job(row) for row in rows]


def find(connection: Connection, prefix: str, uid: int | None = None) -> list[StoredJob]:
    """Jobs whose id begins so, two at most. uid: of the user who asked for them; None: of any."""
    where, values = "id >= ? AND id < ?", list[str | int]((prefix, prefix + "g"))
    if uid is not None:
        where += " AND caller_uid = ?"
        values.append(uid)
    rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {where} LIMIT 2", values)
    return [_job(row) for row in rows]


def listed(connection: Connection, wanted: JobFilter) -> list[StoredJob]:
    """Jobs, newest first."""
    where, values = ["1"], list[Any]()
    if wanted.set_id is not None:
        where.append("set_id = ?")
        values.append(wanted.set_id)
    if wanted.states:
        where.append(f"state IN ({', '.join('?' * len(wanted.states))})")
        values += wanted.states
    if wanted.since_ns is not None:
        where.append("created_ns >= ?")
        values.append(wanted.since_ns)
    if wanted.before is not None:
        where.append("(created_ns, id) < (?, ?)")
        values += wanted.before
    if wanted.caller_uid is not None:
        where.append("caller_uid = ?")
        values.append(wanted.caller_uid)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(where)} ORDER BY created_ns DESC, id DESC LIMIT ?",
        (*values, wanted.limit),
    )
    return [_job(row) for row in rows]


def log_lines(
    connection: Connection, job_id: str, after: int, limit: int, severities: Sequence[str] = ()
) -> list[LogLine]:
    """Lines of a job's log after line number `after`, in order. severities: empty for all."""
    chosen = f" AND severity IN ({', '.join('?' * len(severities))})" if severities else ""
    rows = connection.execute(
        f"SELECT n, time_ns, severity, message, step, path FROM log WHERE job_id = ? AND n > ?{chosen}"
        " ORDER BY n LIMIT ?",
        (job_id, after, *severities, limit),
    )
    return [LogLine(n=n, time_ns=t, severity=s, message=m, step=p, path=b) for n, t, s, m, p, b in rows]


def log_length(connection: Connection, job_id: str) -> int:
    """Number of the last line of a job's log, 0 when it has none."""
    (last,) = connection.execute("SELECT COALESCE(MAX(n), 0) FROM log WHERE job_id = ?", (job_id,)).fetchone()
    return int(last)


def last_runs(connection: Connection) -> list[StoredRun]:
    """For each set, destination, kind and exit code its newest run; few rows, however many runs there were."""
    return _runs(connection.execute(f"SELECT {', '.join(StoredRun.__struct_fields__)} FROM newest_runs"))


def snapshot_times(connection: Connection, set_id: str, destination_id: str) -> tuple[int | None, int | None]:
    """When the first and the newest run began that left a snapshot of a set at a destination; None: none did."""
    row = connection.execute(
        "SELECT MIN(started_ns), MAX(started_ns) FROM runs WHERE set_id = ? AND destination_id = ?"
        f" AND {LEFT_SNAPSHOT}",
        (set_id, destination_id),
    ).fetchone()
    return (row[0], row[1])


def last_ended(connection: Connection, set_id: str, kind: str, most: int) -> list[StoredJob]:
    """The newest jobs of a set and kind that have ended, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE set_id = ? AND kind = ? AND finished_ns IS NOT NULL"
        " ORDER BY created_ns DESC LIMIT ?",
        (set_id, kind, most),
    )
    return [_job(row) for row in rows]


def run_of_snapshot(connection: Connection, prefix: str) -> tuple[str, str] | None:
    """(set id, destination id) of the newest run whose snapshot's id begins so."""
    row = connection.execute(
        "SELECT set_id, destination_id FROM runs WHERE snapshot >= ? AND snapshot < ?"
        " ORDER BY finished_ns DESC LIMIT 1",
        (prefix, prefix + "g"),
    ).fetchone()
    if row is None:
        # Of a run that is kept no longer.
        row = connection.execute(
            "SELECT set_id, destination_id FROM old_snapshots WHERE snapshot >= ? AND snapshot < ? LIMIT 1",
            (prefix, prefix + "g"),
        ).fetchone()
    return (row[0], row[1]) if row is not None else None


def runs_of(connection: Connection, job_id: str) -> list[StoredRun]:
    """What a job came to at each destination."""
    columns = ", ".join(StoredRun.__struct_fields__)
    return _runs(connection.execute(f"SELECT {columns} FROM runs WHERE job_id = ?", (job_id,)))


def checks_after(connection: Connection, run: StoredRun) -> list[StoredRun]:
    """Checks of the same set at the same destination that ended after this run, in the order of their ends."""
    rows = connection.execute(
        f"SELECT {', '.join(StoredRun.__struct_fields__)} FROM runs WHERE set_id = ? AND destination_id = ?"
        " AND kind = 'check' AND finished_ns > ? ORDER BY finished_ns",
        (run.set_id, run.destination_id, run.finished_ns),
    )
    return _runs(rows)


def view(job: StoredJob, caller: str) -> JobView:
    """A stored job as the API shows it."""
    return JobView(
        id=job.id,
        kind=job.kind,  # type: ignore[arg-type]
        state=job.state,
        set_name=job.set_name,
        set_id=job.set_id,
        caller=caller,
        created_ns=job.created_ns,
        started_ns=job.started_ns,
        finished_ns=job.finished_ns,
        exit_code=job.exit_code,
        result=job.result,
        error=job.error,
        warnings=job.warnings,
        schedule=job.schedule,
    )


def _runs(rows: Iterable[Sequence[Any]]) -> list[StoredRun]:
    names = StoredRun.__struct_fields__
    return [
        StoredRun(**dict(zip(names, row[:-1], strict=False)), facts=msgspec.json.decode(row[-1])) for row in rows
    ]


def _job(row: Sequence[Any]) -> StoredJob:
    values = dict(zip(StoredJob.__struct_fields__, row, strict=True))
    for name in ("result", "error", "warnings"):
        values[name] = msgspec.json.decode(values[name]) if values[name] is not None else None
    return StoredJob(**values)


def _json(value: object) -> str | None:
    return _clean(msgspec.json.encode(value).decode()) if value is not None else None


def _clean(text: str) -> str:
    """Text that SQLite takes: what came from names of another encoding is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
