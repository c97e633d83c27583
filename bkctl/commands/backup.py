"""`bkctl backup`: have the daemon run sets now."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import DetachedError, UsageError
from backupd.model.api import StartBackup, Started
from backupd.model.jobs import JobView
from bkctl import options
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Verb
from bkctl.perform import View, follow, reply_of
from bkctl.places import stored_place
from bkctl.render.once import once_lines
from bkctl.runs import together
from bkctl.session import Reply, Session


@click.command(
    "backup",
    cls=Verb,
    short_help="Run backup sets now.",
    examples=[
        "bkctl backup home",
        "bkctl backup --all --if-running skip",
        "bkctl backup home --to usb --stop-after 4h --detach",
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All sets that are enabled.")
@click.option("--to", metavar="DEST", multiple=True, help="Only this destination of the set; may be repeated.")
@click.option(
    "--if-running",
    type=click.Choice(["fail", "join", "wait", "skip"]),
    default="fail",
    show_default=True,
    help="What to do while a run of that set is under way.",
)
@click.option("--stop-after", type=Duration(), metavar="D", help="Stop then; the next run goes on.")
@click.option("--tag", metavar="K=V", multiple=True, help="Tag of the snapshot.")
@click.option("--detach", is_flag=True, help="Don't wait for the end.")
@click.option("--dry-run", is_flag=True, help="Say what would be stored; store nothing.")
@click.pass_obj
def backup(session: Session, /, **given: Any) -> Reply:
    """Run backup sets now and follow them; the daemon goes on when you leave."""
    if given["is_all"] == bool(given["sets"]):
        raise UsageError("name sets, or give --all", hint="bkctl set list shows them")
    client = client_of(session)
    client.check_version()
    wanted = StartBackup(
        sets=list(given["sets"]),
        all=given["is_all"],
        to=[stored_place(word, "--to") for word in given["to"]],
        if_running=given["if_running"],
        stop_after_seconds=given["stop_after"],
        tags=options.tags(given["tag"]),
        dry_run=given["dry_run"],
    )
    jobs = client.request("POST", "/v1/backups", wanted, Started).jobs
    if given["detach"]:
        lines = [f"{job.set_name}: job {job.id[:9]} begun; follow it: bkctl watch {job.id[:9]}" for job in jobs]
        return Reply(0, {"jobs": [{"id": job.id, "set": job.set_name} for job in jobs]}, lines=lines)
    return together([_followed(session, DaemonJob(client, job.id), job) for job in jobs])


def _followed(session: Session, link: DaemonJob, job: JobView) -> Reply:
    view = View(once_lines)
    try:
        return reply_of(session, follow(session, link, view), view)
    except DetachedError as error:
        raise DetachedError(error.message, hint=f"follow it: bkctl watch {job.id[:9]}") from error
