"""`bkctl report …`: what became of jobs, at each of their destinations."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain
from typing import Any, get_args
from urllib.parse import urlencode

import click

from backupd.errors import AccessError, UsageError
from backupd.model.jobs import JobKind
from backupd.model.reports import OneReport, ReportPage, ReportStatus, Severity
from backupd.model.status import SetStatus, StatusReport
from bkctl.commands.job import find
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.render import report_csv, report_page
from bkctl.render import reports as render
from bkctl.render.report_charts import number_of
from bkctl.report_figures import Figures
from bkctl.session import Reply, Session

_EXPORT_PAGE = 1000


def filters(command: Any) -> Any:
    """Give a command the arguments and options that choose reports."""
    for decorate in (
        click.option("--to", "--destination", "to", metavar="DEST", multiple=True, help="Only those at it."),
        click.option(
            "--until", metavar="WHEN", help="Only jobs asked for until then: a TIME, or a span as 12h before now."
        ),
        click.option(
            "--since",
            metavar="WHEN",
            help="Only jobs asked for since then: a span as 30d, or a TIME.  [default: 7d]",
        ),
        click.option(
            "--status",
            metavar="WORDS",
            help=f"Only these, with commas between: {', '.join(get_args(ReportStatus))}.",
        ),
        click.option(
            "--kind",
            metavar="WORDS",
            help=f"Only jobs of these kinds, with commas between: {', '.join(get_args(JobKind))}.",
        ),
        click.argument("sets", metavar="[SET]...", nargs=-1),
    ):
        command = decorate(command)
    return command


@click.group("report", cls=Noun, short_help="What became of jobs.")
def report() -> None:
    """Reports: what became of each job, at each of its destinations."""


@report.command(
    "list",
    cls=Verb,
    short_help="List reports.",
    examples=[
        "bkctl report list",
        "bkctl report list home --status failed,missed --since 30d",
        "bkctl report list --kind restore --since 2026-11-01 --until 2026-11-20",
    ],
)
@filters
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many at most.")
@click.option("--after", metavar="NEXT", help="The page after: `next` of the page before.")
@click.pass_obj
def list_reports(session: Session, /, **given: Any) -> Reply:
    """List reports of the last 7 days, the newest first: a line for each set, destination and job.

    A job's time is when it was asked for; of a missed one: when it was due.
    """
    query = _query(given)
    path = f"/v1/reports?{urlencode({**query, 'limit': str(given['limit'])} | _after(given['after']))}"
    page = client_of(session).get(path, ReportPage)
    earlier = "" if given["since"] else "--since 30d"
    lines = render.page_lines(page, _again("list", given), earlier)
    return Reply(0, render.page_document(page), lines=lines)


@report.command(
    "show",
    cls=Verb,
    short_help="Show a job's report.",
    examples=["bkctl report show latest", "bkctl report show home@failed --severity error,warning"],
)
@click.argument("word", metavar="JOB")
@click.option(
    "--severity",
    metavar="WORDS",
    help=f"Only lines of these, with commas between: {', '.join(get_args(Severity))}.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many lines at most.")
@click.option("--after", type=click.IntRange(0), metavar="N", help="Lines of the log after that one.")
@click.pass_obj
def show(session: Session, /, word: str, severity: str | None, limit: int, after: int | None) -> Reply:
    """Show what a job came to at each destination, and a page of its log."""
    client = client_of(session)
    job = find(client, word)
    query = {"limit": str(limit)} | _after(str(after) if after else None)
    if severity:
        query["severity"] = severity
    found = client.get(f"/v1/reports/{job.id}?{urlencode(query)}", OneReport)
    again = f"bkctl report show {job.id[:9]}" + (f" --severity {shlex.quote(severity)}" if severity else "")
    return Reply(0, {"job": job.id, **render.one_document(found)}, lines=render.show_lines(found, again))


@report.command(
    "export",
    cls=Verb,
    short_help="Export reports.",
    examples=[
        "bkctl report export --since 90d --format html --output backups.html",
        "bkctl report export home --status failed --since 365d --format csv --output failed.csv",
    ],
)
@filters
@click.option(
    "--format", "shape", type=click.Choice(["csv", "json", "html"]), required=True, help="Of what is written."
)
@click.pass_obj
def export(session: Session, /, **given: Any) -> Reply:
    """Write all reports that are chosen, of the last 7 days unless --since says otherwise.

    csv is a table for spreadsheets, json what --json gives, html one page with charts that needs nothing else.
    """
    shape = given["shape"]
    if shape == "json":
        session.is_json = session.is_json or not session.is_jsonl
    elif session.form != "text":
        raise UsageError(f"--format {shape} is no JSON", hint="leave out --json and --jsonl, or say --format json")
    client = client_of(session)
    pages = _pages(client, _query(given))
    if shape == "json":
        return _export_json(session, client, pages)
    # Before anything is written: what is refused leaves no file.
    first = next(pages)
    writer = session.open_writer()
    if shape == "csv":
        writer.data(report_csv.header())
        for page in chain([first], pages):
            writer.data(report_csv.rows(page.reports))
    else:
        for piece in _page(client, chain([first], pages), given):
            writer.data(piece.encode(errors="backslashreplace"))
    return Reply(0, {})


def _export_json(session: Session, client: DaemonClient, pages: Iterator[ReportPage]) -> Reply:
    first = next(pages)
    writer = session.open_writer()
    for page in chain([first], pages):
        for one in page.reports:
            writer.item(render.document(one), "")
    span = render.page_document(first)
    copies = render.copies_document(_standing(client))
    return Reply(0, {"since": span["since"], "until": span["until"], "copies": copies}, items_name="reports")


def _standing(client: DaemonClient) -> list[SetStatus] | None:
    """How the sets stand; None: that is not for who asks."""
    try:
        return client.get("/v1/status", StatusReport).sets
    except AccessError:
        return None


def _page(client: DaemonClient, pages: Iterator[ReportPage], given: dict[str, Any]) -> Iterator[str]:
    figures = Figures()
    first = next(pages)
    for page in chain([first], pages):
        for one in page.reports:
            figures.add(one, number_of(report_page.day_of(one.started_ns or one.created_ns)))
    chosen = ", ".join(f"{name} {value}" for name, value in _query(given).items() if name not in ("since", "until"))
    frame = report_page.Frame(first.since_ns, first.until_ns, first.now_ns, chosen, _standing(client))
    yield from report_page.page(figures, frame)


def _pages(client: DaemonClient, query: dict[str, str]) -> Iterator[ReportPage]:
    """All pages, the first one even where there is no report."""
    after: str | None = None
    while True:
        words = urlencode(query | {"limit": str(_EXPORT_PAGE)} | _after(after))
        page = client.get(f"/v1/reports?{words}", ReportPage)
        yield page
        after = page.next
        if after is None:
            return


def _query(given: dict[str, Any]) -> dict[str, str]:
    query = _words(given)
    if given["sets"]:
        query["sets"] = ",".join(given["sets"])
    if given["to"]:
        query["destination"] = ",".join(given["to"])
    return query


def _words(given: dict[str, Any]) -> dict[str, str]:
    """Those filters whose options and parameters of the API are called the same."""
    return {name: given[name] for name in ("kind", "status", "since", "until") if given[name]}


def _after(word: str | None) -> dict[str, str]:
    return {"after": word} if word else {}


def _again(verb: str, given: dict[str, Any]) -> str:
    """The same command once more."""
    words = ["bkctl", "report", verb, *given["sets"]]
    for option, word in _words(given).items():
        words += [f"--{option}", word]
    for one in given["to"]:
        words += ["--to", one]
    words += ["--limit", str(given["limit"])] if given["limit"] != 50 else []
    return shlex.join(words)
