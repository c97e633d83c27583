"""The API's verbs on reports: a line for each job at each destination, and one job's with its log."""

from __future__ import annotations

import asyncio
from typing import cast, get_args

from backupd.catalog import reports as rows
from backupd.catalog.database import Connection
from backupd.catalog.jobs import log_lines
from backupd.catalog.reports import Cursor, ReportFilter
from backupd.clock import to_datetime
from backupd.daemon.gate import EVERYONE
from backupd.daemon.job_routes import find_job, limit_of, number_of, only_own
from backupd.daemon.report_records import report_of
from backupd.daemon.route import Call, Route
from backupd.errors import BackupError, UsageError
from backupd.model.jobs import JobKind, LogLine
from backupd.model.reports import OneReport, Report, ReportPage, ReportStatus, Severity, states_of
from backupd.rules import moments, names
from backupd.settings.zone import find_zone
from backupd.sizes import parse_duration

_DAY_SECONDS = 86_400
_DEFAULT_SECONDS = 7 * _DAY_SECONDS
_NS = 1_000_000_000
_WHEN = "a span as 7d, or a time as 2026-11-20 or 'yesterday 14:00'"


async def list_reports(call: Call) -> ReportPage:
    """Reports, newest first; of one's own jobs, unless one's role is to watch."""
    query, known = call.request.query, call.services.definitions
    since_ns, until_ns = await asyncio.to_thread(_span, call)
    limit = limit_of(call)
    wanted = ReportFilter(
        since_ns=since_ns,
        until_ns=until_ns,
        set_ids=[known.set(word).id for word in _words(query.get("sets", ""))],
        kinds=_known(query.get("kind", ""), get_args(JobKind), "kind of job"),
        states=[
            state
            for status in _known(query.get("status", ""), get_args(ReportStatus), "status")
            for state in states_of(cast("ReportStatus", status))
        ],
        destination_ids=[known.destination(word).id for word in _words(query.get("destination", ""))],
        caller_uid=only_own(call),
        after=_cursor(query["after"]) if "after" in query else None,
        limit=limit + 1,
    )
    # One more than a page tells whether there is another.
    reports, following = await asyncio.wrap_future(call.services.database.read(_page, wanted))
    now_ns = call.services.clock.now_ns()
    return ReportPage(reports=reports, since_ns=since_ns, until_ns=until_ns, now_ns=now_ns, next=following)


async def show_report(call: Call) -> OneReport:
    """One job's reports, and a page of its log."""
    stored = await find_job(call)
    query = call.request.query
    severities = _known(query.get("severity", ""), get_args(Severity), "severity")
    after, limit = number_of(query.get("after", "0"), "after"), limit_of(call)
    reports, lines = await asyncio.wrap_future(
        call.services.database.read(_one, stored.id, severities, after, limit)
    )
    more = lines[-1].n if len(lines) == limit else None
    return OneReport(reports=reports, lines=lines, warnings=stored.warnings, next=more)


def _page(connection: Connection, wanted: ReportFilter) -> tuple[list[Report], str | None]:
    found = rows.listed(connection, wanted)
    page = found[: wanted.limit - 1]
    following = "-".join(map(str, page[-1].cursor)).rstrip("-") if len(found) > len(page) and page else None
    return [report_of(row) for row in page], following


def _one(
    connection: Connection, job_id: str, severities: list[str], after: int, limit: int
) -> tuple[list[Report], list[LogLine]]:
    reports = [report_of(row) for row in rows.of_job(connection, job_id)]
    return reports, log_lines(connection, job_id, after, limit, severities)


def _span(call: Call) -> tuple[int, int | None]:
    """From when to when jobs were queued; without words the last seven days. Raises UsageError."""
    query, now_ns = call.request.query, call.services.clock.now_ns()
    until_ns = _moment_ns(call, query["until"], now_ns) if "until" in query else None
    begin = min(now_ns, until_ns or now_ns) - _DEFAULT_SECONDS * _NS
    since_ns = _moment_ns(call, query["since"], now_ns, is_begin=True) if "since" in query else begin
    if until_ns is not None and since_ns > until_ns:
        raise UsageError("--since is later than --until", hint="the earlier of the two is --since")
    return max(0, since_ns), until_ns


def _moment_ns(call: Call, word: str, now_ns: int, *, is_begin: bool = False) -> int:
    """is_begin: a day alone means its begin. Raises UsageError."""
    try:
        return max(0, now_ns - parse_duration(word) * _NS)
    except BackupError:
        pass
    zone = find_zone(call.services.configuration.settings.time_zone, call.services.environment)
    try:
        found = moments.parse(word, to_datetime(now_ns), zone)
    except UsageError as error:
        raise UsageError(f"'{word}' is neither a span nor a time", hint=f"write {_WHEN}") from error
    seconds = int(found.timestamp())
    if is_begin and moments.is_day(word):
        seconds -= _DAY_SECONDS - 1
    # Whatever was queued within that second belongs to it.
    return max(0, min(seconds, (1 << 63) // _NS - 1)) * _NS + (0 if is_begin else _NS - 1)


def _cursor(text: str) -> Cursor:
    created, job_id, destination = (*text.split("-", 2), "", "")[:3]
    if not names.is_id(job_id, "j") or (destination and not names.is_id(destination, "d")):
        raise UsageError("after is no end of a page", hint="give what `next` of the page before says")
    return (number_of(created, "after"), job_id, destination)


def _known(text: str, known: tuple[str, ...], what: str) -> list[str]:
    words = _words(text)
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None:
        raise UsageError(f"'{unknown}' is no {what}", hint=f"one of {', '.join(known)}")
    return words


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


ROUTES = [
    Route(
        "GET",
        "/v1/reports",
        "report list",
        EVERYONE,
        None,
        ReportPage,
        list_reports,
        "Report what became of jobs.",
        ("sets", "kind", "status", "destination", "since", "until", "after", "limit"),
    ),
    Route(
        "GET",
        "/v1/reports/{job}",
        "report show",
        EVERYONE,
        None,
        OneReport,
        show_report,
        "Report what became of a job, with its log.",
        ("severity", "after", "limit"),
    ),
]
