"""`bkctl watch`: look at jobs while they run."""

from __future__ import annotations

import click

from backupd.model.api import JobList
from backupd.model.jobs import JobView
from bkctl.commands.job import find
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Verb
from bkctl.job_files import JobFiles
from bkctl.perform import View, reply_of
from bkctl.render import jobs as render
from bkctl.runs import together
from bkctl.session import Reply, Session
from bkctl.watching import watch as watch_jobs

_UNDERWAY = "running,paused,queued"


@click.command(
    "watch",
    cls=Verb,
    short_help="Look at jobs while they run.",
    examples=["bkctl watch", "bkctl watch home@latest", "bkctl watch home@latest --files", "bkctl watch j4f2a --jsonl"],
)
@click.argument("word", metavar="[JOB]", required=False)
@click.option("--files", "has_files", is_flag=True, help="Tell the state of each file of a backup as it changes.")
@click.pass_obj
def watch(session: Session, /, word: str | None, has_files: bool) -> Reply:
    """Look at a job, or at all that run, until they end; with none running, at the latest.

    Ctrl-C leaves, and the jobs go on. The exit code is the jobs' own, 0 for who left before.
    """
    client = client_of(session)
    client.check_version()
    jobs = [find(client, word)] if word is not None else _underway(client) or [find(client, "latest")]
    # Of all that run, those that have files; a job that was named and has none is refused.
    shown = [job for job in jobs if has_files and (word is not None or job.kind == "backup")]
    files = {job.id: JobFiles(client, job) for job in shown}
    last = watch_jobs(session, jobs, lambda job: DaemonJob(client, job.id), files)
    view = View(render.result_lines, is_wanted_quietly=False)
    replies = [reply_of(session, last[job.id], view) for job in jobs if job.id in last]
    left = [job for job in jobs if job.id not in last]
    if left:
        lines = [f"Job {job.id[:9]} goes on; look again: bkctl watch {job.id[:9]}" for job in left]
        result = {"jobs": [{"id": job.id, "set": job.set_name} for job in left]}
        return Reply(0, result, lines=[] if session.is_quiet else lines)
    return together(replies)


def _underway(client: DaemonClient) -> list[JobView]:
    """Oldest first, running ones before those that wait."""
    jobs = client.get(f"/v1/jobs?status={_UNDERWAY}&limit=1000", JobList).jobs
    return sorted(jobs, key=lambda job: (job.state == "queued", job.created_ns))
