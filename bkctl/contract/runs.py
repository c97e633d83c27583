"""Results of what jobs do: backups, restores, checks."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from backupd.model.commands import CommandStatus, When
from bkctl.contract.migrating import MigrationAt, ReadAgain
from bkctl.contract.parts import (
    Base64,
    Bytes,
    Count,
    Error,
    Escaped,
    ExitCode,
    JobId,
    Named,
    Problems,
    RepositoryId,
    Seconds,
    SetId,
    Shown,
    SnapshotId,
    Time,
    Traffic,
)
from bkctl.contract.upkeep import Locked, RetentionAt


class NamedPath(Shown, kw_only=True):
    """A path."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET


class Files(Shown, kw_only=True):
    """Files of a backup."""

    seen: Count
    new: Count
    changed: Count
    attributes: Count
    """Among `changed`: only their attributes, not their content."""
    same: Count
    gone: Count
    left_out: Count
    failed: Count
    """Could not be read; each is a problem, too."""


class Sizes(Shown, kw_only=True):
    """Bytes of a backup: in the source, read from it, new among them before compression; and sizes of files."""

    seen: Bytes
    read: Bytes
    new: Bytes
    new_files: Bytes
    changed_files: Bytes
    attributes_files: Bytes
    gone_files: Bytes
    failed_files: Bytes
    """Of the files that are counted under these names."""


class QuotaLeft(Shown, kw_only=True):
    """A quota that holds."""

    quota_bytes: Bytes
    used_bytes: Bytes
    left_bytes: Bytes


class Estimate(Shown, kw_only=True):
    """What a run would store; of `set estimate`."""

    read_bytes: Bytes
    new_bytes: Bytes
    """Of files that are new."""
    changed_bytes: Bytes
    """Of files that are perhaps changed; only part of them may be new."""
    stored_bytes: Bytes
    ratio: float
    """Stored bytes for each byte that is new."""
    ratio_of: Literal["runs", "samples"]
    """The last runs, or samples of the files that would be read."""
    free_bytes: Bytes | None
    quotas: list[QuotaLeft]
    fits: bool | None
    """null: the store does not tell its space, and no quota holds."""
    seconds: float | None
    """At the last run's rate; null: there was none that tells."""


class AtDestination(Shown, kw_only=True):
    """What a run came to at one destination."""

    name: str
    verdict: Literal["good", "failed", "skipped", "absent"]
    stored_bytes: Bytes
    held_bytes: Bytes | None | UnsetType = UNSET
    """What the repository takes there."""
    account_bytes: Bytes | UnsetType = UNSET
    """What the set's snapshots there take of the account's quota; where it has one."""
    free_bytes: Bytes | None | UnsetType = UNSET
    error: Error | None
    estimate: Estimate | UnsetType = UNSET
    traffic: Traffic | UnsetType = UNSET
    retention: RetentionAt | UnsetType = UNSET
    """Where it was asked for."""
    locked: Locked | None | UnsetType = UNSET
    """Where the place locks objects; null: see `locks_error`."""
    locks_error: Error | None | UnsetType = UNSET
    """Why not all locks were extended; the run is good all the same."""
    migration: MigrationAt | UnsetType = UNSET
    """Where it was asked for."""


class Key(Shown, kw_only=True):
    """The key of the repository."""

    created: bool
    file: str | None
    label: str | None
    sheet_command: str | UnsetType = UNSET


class CommandDone(Shown, kw_only=True):
    """What became of a command around a run."""

    name: str
    when: When
    status: CommandStatus
    exit: Count | None
    """null: it was not begun, or its process was killed."""
    seconds: Seconds
    message: str
    """Empty: it ended with 0."""


class FewerFiles(Shown, kw_only=True):
    """Files of the last snapshot and of this run."""

    before: Count
    now: Count
    snapshot: SnapshotId
    """The last one."""


class Links(Shown, kw_only=True):
    """Symbolic links that lead outside the sources."""

    outside: Count
    followed: Count
    """What is stored only because links lead to it, where they are followed."""


class Run(Shown, kw_only=True):
    """One run of one set."""

    set: str | None
    set_id: SetId | None | UnsetType = UNSET
    host: str | UnsetType = UNSET
    job: JobId | None
    started: Time | None
    seconds: Seconds | None
    exit: ExitCode
    files: Files | UnsetType = UNSET
    problems: Problems | UnsetType = UNSET
    links: Links | UnsetType = UNSET
    """Where all was looked at."""
    migrate: ReadAgain | UnsetType = UNSET
    """Where it was asked for."""
    snapshot: SnapshotId | None
    bytes: Sizes | UnsetType = UNSET
    destinations: list[AtDestination]
    restore_command: str | None
    restore_one_command: str | None | UnsetType = UNSET
    key: Key | UnsetType = UNSET
    incomplete: bool | UnsetType = UNSET
    fewer_files: FewerFiles | UnsetType = UNSET
    """Where far fewer files are there than in the last snapshot."""
    error: Error | None | UnsetType = UNSET
    retention_command: str | UnsetType = UNSET
    """Drops what the set's policy does not keep, where the run was not asked to."""
    commands: list[CommandDone] | UnsetType = UNSET
    """Where the set has such; of a run that was not begun they stand in the error's context."""


class Repository(Shown, kw_only=True):
    """The repository that was written."""

    id: RepositoryId
    short: str
    place: str
    created: bool
    encryption: Literal["default", "password", "none"]


class LeftOutSet(Shown, kw_only=True):
    """A set that `--all` does not mean."""

    set: str
    owner: str | None
    """The machine that it belongs to; null: this one, where it is disabled."""


class BackedUp(Shown, kw_only=True):
    """Of `once`, `backup`, and jobs of that kind."""

    runs: list[Run]
    repository: Repository | UnsetType = UNSET
    """Of a call with one run."""
    dry_run: bool | UnsetType = UNSET
    left_out: list[LeftOutSet] | UnsetType = UNSET


class BegunJob(Shown, kw_only=True):
    """A job that goes on."""

    id: JobId
    set: str | None


class Begun(Shown, kw_only=True):
    """Jobs that nobody waited for."""

    jobs: list[BegunJob]
    runs: list[Run] | UnsetType = UNSET
    """Of sets that were passed over."""
    left_out: list[LeftOutSet] | UnsetType = UNSET


class RestoredFiles(Shown, kw_only=True):
    """Entries of a restore."""

    restored: Count
    same: Count
    skipped: Count
    failed: Count
    deleted: Count


class RestoredSizes(Shown, kw_only=True):
    """Bytes of a restore."""

    restored: Bytes
    fetched: Bytes


class Verified(Shown, kw_only=True):
    """What `--verify` read back."""

    bytes: Bytes


class Step(Shown, kw_only=True):
    """One step of a dry run."""

    action: str
    path: Escaped
    path_b64: Base64 | UnsetType = UNSET


class FilledDatabase(Shown, kw_only=True):
    """What a stream was put into."""

    kind: Literal["postgresql", "mysql", "sqlite", "mongodb"]
    name: str
    stream: str


class Restored(Shown, kw_only=True):
    """Of `restore` and `decrypt`."""

    set: str
    host: str
    snapshot: SnapshotId
    time: Time
    target: Escaped
    target_b64: Base64 | UnsetType = UNSET
    files: RestoredFiles
    bytes: RestoredSizes
    verified: Verified | UnsetType = UNSET
    seconds: Seconds
    problems: Problems
    dry_run: bool
    plan: list[Step]
    database: FilledDatabase | UnsetType = UNSET
    """Of `--into-database`."""
    traffic: Traffic | UnsetType = UNSET


class SkippedSet(Shown, kw_only=True):
    """A set on which a job was running; of a check of all sets one that has no snapshot yet, too."""

    set: str
    reason: str


class ReplicatedCounts(Shown, kw_only=True):
    """Snapshots of a replication."""

    copied: Count
    there: Count
    failed: Count
    """Damaged at the old place, so not made at the new one."""
    partial: Count
    """Of runs that were cut short; they are not copied."""


class ReplicatedSizes(Shown, kw_only=True):
    """Bytes of a replication: stored at the new place, read from the old one."""

    copied: Bytes
    fetched: Bytes
    held: Bytes | None
    """What the repository takes at the new place; null where nothing was missing there."""


class FailedSnapshot(Shown, kw_only=True):
    """A snapshot that could not be copied, and the files that need what is lost."""

    id: SnapshotId | None
    """None: not even its own object can be read."""
    short: str | None
    set: str | UnsetType = UNSET
    host: str | UnsetType = UNSET
    time: Time | UnsetType = UNSET
    message: str
    files: list[NamedPath]
    """The first hundred."""
    files_count: Count


class TrafficOfBoth(Shown, kw_only=True):
    """What a replication cost at each of its places."""

    # `from` is a word of Python's.
    source: Traffic = msgspec.field(name="from")
    to: Traffic


class Replicated(Shown, kw_only=True):
    """Of `destination replicate`; of several sets the sums."""

    set: str | None | UnsetType = UNSET
    job: JobId | None | UnsetType = UNSET
    """Of a daemon."""
    replications: list[Replicated] | UnsetType = UNSET
    """Of several sets: each whole."""
    # `from` is a word of Python's.
    source: str = msgspec.field(name="from")
    to: str
    repository: RepositoryId | None
    created: bool
    """Whether the repository was not at the new place before."""
    snapshots: ReplicatedCounts
    bytes: ReplicatedSizes
    seconds: Seconds
    copied: list[Named]
    failed: list[FailedSnapshot]
    skipped: list[SkippedSet]
    traffic: TrafficOfBoth | UnsetType = UNSET
