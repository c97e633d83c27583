"""`bkctl job …`: what runs, waits and ran."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, urlencode

import click

from backupd.errors import JobNotFoundError
from backupd.model.api import Change, Ending, JobList, LogPage, Nothing
from backupd.model.jobs import ENDED, JobView
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Noun, Verb
from bkctl.perform import View, follow, reply_of
from bkctl.render import jobs as render
from bkctl.session import Reply, Session

_FOLLOW_SECONDS = 0.5


@click.group("job", cls=Noun, short_help="What runs, waits and ran.")
def job() -> None:
    """Jobs: what runs, waits and ran. A JOB is an id or its beginning, latest, latest~1, SET@latest or SET@failed."""


@job.command(
    "list",
    cls=Verb,
    short_help="List jobs.",
    examples=["bkctl job list", "bkctl job list home --status failed,warning --since 7d"],
)
@click.argument("set_name", metavar="[SET]", required=False)
@click.option("--status", metavar="WORDS", default="", help="Only these states, with commas between.")
@click.option("--since", type=Duration(), metavar="D", help="Only jobs of that last time.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many at most.")
@click.option("--after", metavar="NEXT", help="The page after: `next` of the page before.")
@click.pass_obj
def list_jobs(session: Session, /, **given: Any) -> Reply:
    """List jobs, the newest first."""
    query = {"limit": str(given["limit"])}
    if given["set_name"]:
        query["set"] = given["set_name"]
    if given["status"]:
        query["status"] = given["status"]
    if given["since"] is not None:
        query["since_seconds"] = str(given["since"])
    if given["after"]:
        query["after"] = given["after"]
    found = client_of(session).get(f"/v1/jobs?{urlencode(query)}", JobList)
    documents = [render.document(one) for one in found.jobs]
    return Reply(0, {"jobs": documents, "next": found.next}, lines=render.list_lines(found))


@job.command("show", cls=Verb, short_help="Show a job.", examples=["bkctl job show latest", "bkctl job show j4f2a"])
@click.argument("word", metavar="JOB")
@click.pass_obj
def show(session: Session, /, word: str) -> Reply:
    """Show what a job does, or what came of it."""
    found = find(client_of(session), word)
    return Reply(0, {"job": render.document(found)}, lines=render.show_lines(found))


@job.command(
    "log", cls=Verb, short_help="Show a job's log.", examples=["bkctl job log latest", "bkctl job log latest --follow"]
)
@click.argument("word", metavar="JOB")
@click.option("--follow", "is_following", is_flag=True, help="Wait for more until the job ends.")
@click.option(
    "--severity",
    type=click.Choice(["information", "warning", "error"]),
    default="information",
    show_default=True,
    help="No lines below that.",
)
@click.pass_obj
def log(session: Session, /, word: str, is_following: bool, severity: str) -> Reply:
    """Show a job's log: its steps, numbered and timed, and all that it said."""
    client = client_of(session)
    found = find(client, word)
    writer = session.open_writer()
    wanted = render.SEVERITIES.index(severity)
    after = 0
    while True:
        page = client.get(f"/v1/jobs/{found.id}/log?after={after}&limit=1000", LogPage)
        for line in page.lines:
            after = line.n
            if render.SEVERITIES.index(line.severity) >= wanted:
                writer.item(render.log_document(line), render.log_line(line))
        writer.flush()
        if page.next is None:
            if not is_following or found.state in ENDED:
                break
            time.sleep(_FOLLOW_SECONDS)
            found = find(client, found.id)
    return Reply(0, {"job": found.id}, items_name="lines")


@job.command("wait", cls=Verb, short_help="Wait for a job.", examples=["bkctl job wait latest --timeout 2h"])
@click.argument("word", metavar="JOB")
@click.pass_obj
def wait(session: Session, /, word: str) -> Reply:
    """Wait for a job's end; the exit code is the job's own."""
    client = client_of(session)
    found = find(client, word)
    view = View(render.result_lines)
    return reply_of(session, follow(session, DaemonJob(client, found.id), view), view)


@job.command("cancel", cls=Verb, short_help="End a job.", examples=["bkctl job cancel j4f2a"])
@click.argument("word", metavar="JOB")
@click.pass_obj
def cancel(session: Session, /, word: str) -> Reply:
    """End a job; what it stored stays, and the next run goes on from it."""
    return _told(session, word, "cancel", Ending(signal="int"), "is asked to end")


@job.command("pause", cls=Verb, short_help="Have a job wait.", examples=["bkctl job pause latest"])
@click.argument("word", metavar="JOB")
@click.pass_obj
def pause(session: Session, /, word: str) -> Reply:
    """Have a running job wait."""
    return _told(session, word, "pause", Nothing(), "waits; go on with: bkctl job resume")


@job.command("resume", cls=Verb, short_help="Have a job go on.", examples=["bkctl job resume latest"])
@click.argument("word", metavar="JOB")
@click.pass_obj
def resume(session: Session, /, word: str) -> Reply:
    """Have a paused job go on."""
    return _told(session, word, "resume", Nothing(), "goes on")


def find(client: DaemonClient, word: str) -> JobView:
    """The job that a JOB means. Raises JobNotFoundError, AmbiguousNameError."""
    base, at, which = word.rpartition("@")
    name, tilde, back = which.partition("~")
    if name not in ("latest", "failed") or (tilde and not back.isdigit()) or (at and not base):
        return client.get(f"/v1/jobs/{quote(word, safe='')}", JobView)
    query = {"limit": str(int(back or 0) + 1)}
    if base:
        query["set"] = base
    if name == "failed":
        query["status"] = "failed,interrupted_with_errors"
    found = client.get(f"/v1/jobs?{urlencode(query)}", JobList).jobs
    if len(found) <= int(back or 0):
        raise JobNotFoundError(f"there is no job {word}", hint="bkctl job list shows them")
    return found[-1]


def _told(session: Session, word: str, verb: str, body: object, sentence: str) -> Reply:
    client = client_of(session)
    found = find(client, word)
    change = client.request("POST", f"/v1/jobs/{found.id}/{verb}", body, Change)
    line = f"Job {found.id[:9]} {sentence}." if change.changed else f"Job {found.id[:9]} is {found.state} already."
    return Reply(0, {"changed": change.changed, "job": found.id}, lines=[line])
