"""`bkctl job …`: what runs, waits and ran."""

from __future__ import annotations

import time
from typing import Any, get_args
from urllib.parse import quote, urlencode

import click

from backupd.errors import JobNotFoundError, UsageError
from backupd.model.api import Change, Ending, JobList, LogPage, Nothing
from backupd.model.files import FileStateName
from backupd.model.jobs import ENDED, JobView
from backupd.sizes import count
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Noun, Verb
from bkctl.job_files import JobFiles
from bkctl.perform import View, follow, reply_of
from bkctl.render import jobs as render
from bkctl.render.files import FileLines, file_document
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


@job.command(
    "show",
    cls=Verb,
    short_help="Show a job.",
    examples=["bkctl job show latest", "bkctl job show j4f2a", "bkctl job show home@latest --files --state failed"],
)
@click.argument("word", metavar="JOB")
@click.option("--files", "has_files", is_flag=True, help="Show the state of each file of a backup, too.")
@click.option(
    "--state",
    "states",
    metavar="WORDS",
    help=f"Only files in these states, with commas between: {', '.join(get_args(FileStateName))}.",
)
@click.pass_obj
def show(session: Session, /, word: str, has_files: bool, states: str | None) -> Reply:
    """Show what a job does, or what came of it."""
    client = client_of(session)
    found = find(client, word)
    if not has_files:
        if states is not None:
            raise UsageError("--state says which files are shown", hint="give --files, too")
        return Reply(0, {"job": render.document(found)}, lines=render.show_lines(found))
    files = JobFiles(client, found, states or "")
    writer, lines_of = session.open_writer(), FileLines()
    shown = 0
    for one in files.look(waiting=True):
        *heading, line = lines_of.of(one)
        writer.lines(heading if session.form == "text" else [])
        writer.item(file_document(one), line)
        shown += 1
    lines = [f"and {count(files.more_waiting, 'file')} more waiting"] * bool(files.more_waiting)
    if files.not_kept:
        lines.append(f"{count(files.not_kept, 'state')} more not kept: a run keeps a million")
    if not shown:
        lines.append("No file in such a state." if states else "No states of files are kept of this job.")
    result = {"job": render.document(found), "more_waiting": files.more_waiting, "not_kept": files.not_kept}
    return Reply(0, result, lines=[*lines, *render.show_lines(found)], items_name="files")


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
