"""Runs that were due and never began, as the catalog keeps them."""

from __future__ import annotations

import os
from datetime import tzinfo

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.rules.schedules.deciding import MOST_COUNTED, Due
from backupd.rules.schedules.reading import Schedule
from backupd.rules.schedules.words import shown_moment


def missed_job(
    stored: StoredSet, schedule: Schedule, due: Due, zone: tzinfo, *, job_id: str, now_ns: int
) -> StoredJob:
    """One row for all that a schedule missed at a time; its `created_ns` is when the last of them was due."""
    count = due.missed_count(schedule)
    since = f" since {shown_moment(due.first, zone)}" if count > 1 else ""
    return StoredJob(
        id=job_id,
        kind="backup",
        state="missed",
        set_id=stored.id,
        set_name=stored.text.name,
        orders=b"",
        caller_uid=os.geteuid(),
        created_ns=int(due.last_missed(schedule).timestamp()) * 1_000_000_000,
        finished_ns=now_ns,
        error={
            "code": "schedule.missed",
            "message": f"schedule {schedule.text.name}: {runs(count)} missed{since}",
            "hint": f"bkctl backup {stored.text.name} runs it now; missed: run makes up for it by itself",
            "retryable": False,
            "context": {"count": count},
        },
        schedule=schedule.text.name,
    )


def runs(count: int) -> str:
    """So many runs, in words."""
    more = "at least " if count >= MOST_COUNTED else ""
    return "1 run" if count == 1 else f"{more}{count} runs"
