"""`bkctl backup`: have the daemon run sets now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from backupd.errors import CancelledError, DeadlineError, SkippedError, TerminatedError, UsageError
from backupd.model.api import Change, Ending, LeftOutSet, SkippedSet, StartBackup, Started
from backupd.model.jobs import JobView
from bkctl import options
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Verb
from bkctl.perform import View, follow, reply_of
from bkctl.places import stored_place
from bkctl.render.once import once_lines
from bkctl.runs import together
from bkctl.session import Reply, Session

_CANCELLED = (CancelledError.exit_code, TerminatedError.exit_code)


@click.command(
    "backup",
    cls=Verb,
    short_help="Run backup sets now.",
    examples=[
        "bkctl backup home",
        "bkctl backup --all --if-running skip",
        "bkctl backup home --to usb --stop-after 4h --detach",
        "bkctl backup home --migrate --dry-run",
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
@options.limit_options
@click.option("--tag", metavar="K=V", multiple=True, help="Tag of the snapshot.")
@click.option("--retention", is_flag=True, help="Then drop what the set's policy does not keep.")
@click.option("--migrate", is_flag=True, help="Then store anew what is not stored as the set wants it now.")
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
        retention=given["retention"],
        migrate=given["migrate"],
        upload_rate=given["limit_upload"],
        download_rate=given["limit_download"],
    )
    started = client.request("POST", "/v1/backups", wanted, Started)
    skipped = [_skipped(one) for one in started.skipped]
    if given["detach"] and started.jobs:
        lines = [f"{job.set_name}: job {job.id[:9]} begun; follow it: bkctl watch {job.id[:9]}" for job in started.jobs]
        result = {"jobs": [{"id": job.id, "set": job.set_name} for job in started.jobs]}
        reply = _detached(result, lines, skipped) if skipped else Reply(0, result, lines=lines)
    else:
        reply = together([*_followed(session, client, started.jobs), *skipped])
    return _with_left_out(reply, started.left_out)


def _with_left_out(reply: Reply, left_out: Sequence[LeftOutSet]) -> Reply:
    """With the sets that `--all` does not mean."""
    if not left_out:
        return reply
    said = ", ".join(f"{one.set} ({f'belongs to {one.owner}' if one.owner else 'disabled'})" for one in left_out)
    result = {**(reply.result or {}), "left_out": [{"set": one.set, "owner": one.owner} for one in left_out]}
    return replace(reply, result=result, lines=[*reply.lines, f"Not run here: {said}."])


def _detached(result: dict[str, Any], lines: list[str], skipped: list[Reply]) -> Reply:
    """Some begun, some passed over."""
    worst = together(skipped)
    return Reply(worst.exit_code, {**result, **(worst.result or {})}, worst.error, lines=[*lines, *worst.lines])


def _skipped(one: SkippedSet) -> Reply:
    message = f"{one.set}: job {one.job[:9]} is under way already"
    error = SkippedError(message, hint="it was passed over; --if-running join follows it, wait queues another")
    fields = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "context": {"set": one.set, "job": one.job},
    }
    run = {"set": one.set, "job": one.job, "snapshot": None, "started": None, "seconds": None, "exit": error.exit_code}
    return Reply(error.exit_code, {"runs": [{**run, "destinations": [], "restore_command": None}]}, fields)


def _followed(session: Session, client: DaemonClient, jobs: Sequence[JobView]) -> list[Reply]:
    """Follow one after the other; who cancels one cancels those behind it, too."""
    replies: list[Reply] = []
    for job in jobs:
        if replies and replies[-1].exit_code in _CANCELLED:
            client.request("POST", f"/v1/jobs/{job.id}/cancel", Ending(signal="int"), Change)
        replies.append(_follow(session, client, job))
    return replies


def _follow(session: Session, client: DaemonClient, job: JobView) -> Reply:
    view = View(once_lines)
    try:
        return reply_of(session, follow(session, DaemonJob(client, job.id), view), view)
    except DeadlineError as error:
        hint = f"follow it: bkctl watch {job.id[:9]}"
        raise type(error)(error.message, hint=hint, context={"job": job.id}) from error
