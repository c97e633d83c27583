"""What reports are made of: jobs with their runs, a line each, in pages; as functions of a connection."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from backupd.catalog.database import Connection
from backupd.catalog.jobs import UNDER_WAY
from backupd.model.jobs import JobState
from backupd.model.reports import UNENDED

Cursor = tuple[int, str, str]
"""(when the job was queued, its id, id of the destination or nothing) of a line."""


class ReportFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are wanted; newest first."""

    since_ns: int
    until_ns: int | None
    set_ids: Sequence[str] = ()
    """Empty: all, and jobs of no set."""
    kinds: Sequence[str] = ()
    states: Sequence[str] = ()
    destination_ids: Sequence[str] = ()
    caller_uid: int | None = None
    after: Cursor | None = None
    limit: int = 50


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job at a destination, or where it has no run yet or at all: the job alone."""

    job_id: str
    kind: str
    set_id: str | None
    set_name: str | None
    created_ns: int
    schedule: str | None
    destination_id: str
    """Empty: the job alone."""
    destination_name: str | None
    state: JobState
    snapshot: str | None
    exit_code: int | None
    started_ns: int | None
    finished_ns: int | None
    facts: str | None
    """JSON of the run as in `result.runs[]`."""
    error: str | None
    """JSON of the job's error."""

    @property
    def cursor(self) -> Cursor:
        """Where the next page goes on."""
        return (self.created_ns, self.job_id, self.destination_id)


_NO_END = (1 << 63) - 1
_OF_JOB = "jobs.id, jobs.kind, jobs.set_id, jobs.set_name, jobs.created_ns, jobs.schedule"
_WITH_RUN = f"""{_OF_JOB}, COALESCE(runs.destination_id, '') AS at, runs.destination_name,
    COALESCE(runs.state, jobs.state), runs.snapshot, COALESCE(runs.exit_code, jobs.exit_code),
    COALESCE(runs.started_ns, jobs.started_ns), COALESCE(runs.finished_ns, jobs.finished_ns), runs.facts,
    CASE WHEN runs.job_id IS NULL THEN jobs.error END"""
_ALONE = f"{_OF_JOB}, '' AS at, NULL, jobs.state, NULL, NULL, jobs.started_ns, NULL, NULL, NULL"
_IS_NO_REHEARSAL = """NOT (runs.job_id IS NULL AND jobs.result IS NOT NULL AND instr(jobs.result, '"dry_run":true'))"""
"""A dry run stores and restores nothing, so there is nothing to report."""
_NEWEST_FIRST = "ORDER BY jobs.created_ns DESC, jobs.id DESC, at DESC"


def listed(connection: Connection, wanted: ReportFilter) -> list[ReportRow]:
    """A page of lines, by their cursors downwards.

    A job under way has a line of its own besides those of the destinations where it has ended.
    """
    where, values = _where(wanted)
    of_runs, chosen = [*where, _IS_NO_REHEARSAL], list(values)
    if wanted.states:
        of_runs.append(f"COALESCE(runs.state, jobs.state) IN ({_marks(wanted.states)})")
        chosen += wanted.states
        # What can be told by the job alone saves looking at the runs of a year.
        if set(wanted.states) <= set(UNENDED):
            of_runs.append(UNDER_WAY)
        elif not {"completed", "skipped"} & set(wanted.states):
            of_runs.append("jobs.state <> 'completed'")
    if wanted.destination_ids:
        of_runs.append(f"runs.destination_id IN ({_marks(wanted.destination_ids)})")
        chosen += wanted.destination_ids
    if wanted.after is not None:
        of_runs.append("(jobs.created_ns, jobs.id, COALESCE(runs.destination_id, '')) < (?, ?, ?)")
        chosen += wanted.after
    # By the jobs' own index: a page costs no more than its lines, nothing is sorted but jobs of one moment.
    rows = connection.execute(
        f"SELECT {_WITH_RUN} FROM jobs LEFT JOIN runs ON runs.job_id = jobs.id WHERE {' AND '.join(of_runs)}"
        f" {_NEWEST_FIRST} LIMIT ?",
        (*chosen, wanted.limit),
    )
    merged = heapq.merge(
        map(_row, rows), _under_way(connection, where, values, wanted), key=lambda row: row.cursor, reverse=True
    )
    return list(islice(merged, wanted.limit))


def of_job(connection: Connection, job_id: str) -> list[ReportRow]:
    """All lines of one job."""
    rows = connection.execute(
        f"SELECT {_WITH_RUN} FROM jobs LEFT JOIN runs ON runs.job_id = jobs.id WHERE jobs.id = ? ORDER BY at DESC",
        (job_id,),
    )
    alone = connection.execute(
        f"SELECT {_ALONE} FROM jobs WHERE {UNDER_WAY} AND jobs.id = ?"
        " AND EXISTS (SELECT 1 FROM runs WHERE runs.job_id = jobs.id)",
        (job_id,),
    )
    return [*map(_row, rows), *map(_row, alone)]


def _under_way(
    connection: Connection, where: Sequence[str], values: Sequence[Any], wanted: ReportFilter
) -> list[ReportRow]:
    """Lines of jobs that go on after they have ended somewhere."""
    if wanted.destination_ids:
        return []
    rows = connection.execute(
        f"SELECT {_ALONE} FROM jobs WHERE {UNDER_WAY} AND {' AND '.join(where)}"
        f" AND EXISTS (SELECT 1 FROM runs WHERE runs.job_id = jobs.id) {_NEWEST_FIRST}",
        values,
    )
    found = [row for row in map(_row, rows) if not wanted.states or row.state in wanted.states]
    return [row for row in found if wanted.after is None or row.cursor < wanted.after]


def _where(wanted: ReportFilter) -> tuple[list[str], list[Any]]:
    """What a line's job has to be."""
    last_ns = min(
        wanted.until_ns if wanted.until_ns is not None else _NO_END,
        wanted.after[0] if wanted.after is not None else _NO_END,
    )
    where, values = ["jobs.created_ns BETWEEN ? AND ?"], list[Any]((wanted.since_ns, last_ns))
    for column, words in {"jobs.set_id": wanted.set_ids, "jobs.kind": wanted.kinds}.items():
        if words:
            where.append(f"{column} IN ({_marks(words)})")
            values += words
    if wanted.caller_uid is not None:
        where.append("jobs.caller_uid = ?")
        values.append(wanted.caller_uid)
    return where, values


def _row(row: Sequence[Any]) -> ReportRow:
    return ReportRow(**dict(zip(ReportRow.__struct_fields__, row, strict=True)))


def _marks(words: Sequence[str]) -> str:
    return ", ".join("?" * len(words))
