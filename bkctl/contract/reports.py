"""Results of reports."""

from __future__ import annotations

from backupd.model.jobs import JobKind
from backupd.model.reports import ReportStatus
from bkctl.contract.areas import CountedAreas
from bkctl.contract.kept import LogLine
from bkctl.contract.parts import Bytes, Count, ExitCode, JobId, Nothing, Seconds, Shown, SnapshotId, Time


class ReportCounts(Shown, kw_only=True):
    """Files of a job, or their bytes; null: jobs of that kind do not count it, or this one did not."""

    seen: Count | None
    """In the source."""
    new: Count | None
    changed: Count | None
    """In their content; of runs that did not tell them apart, in their attributes, too."""
    attributes: Count | None
    """In their attributes alone."""
    deleted: Count | None
    failed: Count | None
    read: Count | None
    """Bytes that a backup read."""
    fetched: Count | None
    """Files that a restore wrote; bytes that it read from the destination."""


class Report(Shown, kw_only=True):
    """What became of a job at one destination."""

    job: JobId
    kind: JobKind
    status: ReportStatus
    set: str | None
    destination: str | None
    """null: it has no part there yet, or never began."""
    schedule: str | None
    created: Time
    """When it was asked for; of a missed one: when it was due."""
    started: Time | None
    finished: Time | None
    seconds: Seconds | None
    exit: ExitCode | None
    error: str | None
    snapshot: SnapshotId | None
    files: ReportCounts
    bytes: ReportCounts
    plain_bytes: Bytes | None
    """Of chunks that the destination did not have, before compression."""
    stored_bytes: Bytes | None
    """What the run added there."""
    held_bytes: Bytes | None
    """What the repository takes there since."""
    free_bytes: Bytes | None
    freed_bytes: Bytes | None
    problems: Count
    problem_kinds: dict[str, Count]
    """How many of a backup's are of each kind."""
    tolerated: dict[str, Count]
    """Beside them, by kind: what the set's rules say to be well."""


class ReportList(Shown, kw_only=True):
    """Of `report list`."""

    reports: list[Report]
    since: Time
    until: Time | None
    """As they were understood; null: no end."""
    next: str | None


class StoredCopy(Shown, kw_only=True):
    """What is stored of a set at a destination."""

    set: str
    destination: str
    stored_bytes: Bytes | None
    free_bytes: Bytes | None
    areas: CountedAreas | None
    growth_bytes_per_day: int | None
    full_at: Time | None
    """As in `status`."""


class ReportExport(Shown, kw_only=True):
    """Of `report export --format json`."""

    reports: list[Report]
    """All of them, newest first."""
    since: Time
    until: Time | None
    copies: list[StoredCopy] | None
    """Of all sets, as they stand now; null: that is not for who asks."""
    next: Nothing


class JobReport(Shown, kw_only=True):
    """Of `report show`."""

    job: JobId
    reports: list[Report]
    lines: list[LogLine]
    """Of the job's log."""
    warnings: list[str]
    next: str | None
