"""Run windows: outside of them a scheduled run waits, or pauses and keeps its place (FEATURES 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo

from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.rules.day_times import Window, window_of

ZoneOf = Callable[[LiveJob], tzinfo | None]
"""The zone of a job's set; None: the set is gone."""


def window_of_job(job: LiveJob) -> Window | None:
    """None: it may work at any time."""
    backup = job.request.backup
    return window_of(backup.window) if backup is not None and backup.window is not None else None


async def mind(jobs: Jobs, zone_of: ZoneOf, now: datetime) -> None:
    """Pause what has left its window, have what is back in it go on."""
    for job in list(jobs.live.values()):
        window, zone = window_of_job(job), zone_of(job)
        if window is None or zone is None or not job.is_begun:
            continue
        is_open = window.holds(now.astimezone(zone))
        if not is_open and job.stored.state == "running" and not job.is_out_of_window:
            await jobs.pause(job.stored.id, is_paused=True)
            job.is_out_of_window = True
            job.log("information", f"its window {window.text} is over: it pauses and keeps its place")
        elif is_open and job.is_out_of_window:
            # Who has had it go on meanwhile, by hand, keeps it from being paused again until the window opens.
            if job.stored.state == "paused":
                await jobs.pause(job.stored.id, is_paused=False)
            job.is_out_of_window = False
