"""Reports of jobs: a line for each job at each destination. Times are nanoseconds since 1970 UTC."""

from __future__ import annotations

from typing import Literal

from backupd.model.jobs import ENDED, TRANSITIONS, JobKind, JobState, LogLine
from backupd.model.structs import Struct

ReportStatus = Literal[
    "completed",
    "warning",
    "interrupted",
    "interrupted_with_errors",
    "failed",
    "in_progress",
    "missed",
    "skipped",
]
"""As a report calls the end of a run (FEATURES 10.1). `skipped`: passed over on purpose, as an absent drive that may be
absent; nothing is wrong with it, and nothing was stored."""
Severity = Literal["information", "warning", "error"]

UNENDED: tuple[JobState, ...] = tuple(sorted(set(TRANSITIONS) - ENDED))
"""States of jobs whose reports are `in_progress`."""


def status_of(state: JobState) -> ReportStatus:
    """What a report calls the state of a job or run."""
    return state if state in ENDED else "in_progress"  # type: ignore[return-value]


def states_of(status: ReportStatus) -> tuple[JobState, ...]:
    """The states that a report calls so."""
    return UNENDED if status == "in_progress" else (status,)


class Counts(Struct, frozen=True, kw_only=True):
    """Files of a run, or their bytes; None: the job does not count that."""

    seen: int | None = None
    """Of a backup: in the source."""
    new: int | None = None
    changed: int | None = None
    """In their content; of runs that did not tell them apart, in their attributes, too."""
    attributes: int | None = None
    """In their attributes alone."""
    deleted: int | None = None
    failed: int | None = None
    read: int | None = None
    """Of bytes: from the source."""
    fetched: int | None = None
    """Of a restore: written from the destination's data; of bytes: read from the destination."""


class Report(Struct, frozen=True, kw_only=True):
    """What became of a job at one destination."""

    job: str
    kind: JobKind
    status: ReportStatus
    set_name: str | None = None
    set_id: str | None = None
    destination: str | None = None
    """None: the job has no part there yet, or never began."""
    schedule: str | None = None
    created_ns: int
    """When it was queued; of a missed run: when it was due."""
    started_ns: int | None = None
    finished_ns: int | None = None
    exit_code: int | None = None
    error: str = ""
    """The message, empty where all went well."""
    snapshot: str | None = None
    files: Counts = Counts()
    bytes: Counts = Counts()
    plain_bytes: int | None = None
    """Of a backup: of chunks that the destination did not have, before compression: what deduplication leaves."""
    stored_bytes: int | None = None
    """What the run added there."""
    held_bytes: int | None = None
    """What the repository takes there since."""
    free_bytes: int | None = None
    """Left there at the end."""
    freed_bytes: int | None = None
    """By a freeing."""
    problems: int = 0
    """Entries, or findings of a check, to look at."""
    problem_kinds: dict[str, int] = {}
    """How many of a backup's are of each kind."""
    tolerated: dict[str, int] = {}
    """Beside them, by kind: what the set's rules say to be well."""


class ReportPage(Struct, frozen=True, kw_only=True):
    """A page of reports, newest first."""

    reports: list[Report]
    since_ns: int
    until_ns: int | None
    """The time that was looked at, as it was understood; both ends belong to it. Without an end what lies ahead
    of the clock does, too."""
    now_ns: int
    """The daemon's clock."""
    next: str | None
    """For `after` of the next page."""


class OneReport(Struct, frozen=True, kw_only=True):
    """A job's reports at its destinations, and a page of its log."""

    reports: list[Report]
    lines: list[LogLine]
    warnings: list[str] = []
    next: int | None
    """For `after` of the next page of the log."""
