"""Results about backup sets: all their settings, and which snapshots of them are kept."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from backupd.model.cache_modes import CacheMode
from backupd.model.commands import CommandText
from backupd.model.conditions import ConditionsText
from backupd.model.filters import FilterText
from backupd.model.fs_snapshot_words import FsSnapshot, FsSnapshotFallback
from backupd.model.retention import RetentionText
from backupd.model.schedules import ScheduleText
from backupd.model.secret_references import SecretReference
from backupd.model.sets import ContinuousText, OwnerText
from backupd.model.streams import StreamText
from backupd.model.tolerance import ToleranceText
from bkctl.contract.kept import Setting
from bkctl.contract.parts import (
    Changed,
    Count,
    Error,
    JobId,
    Nothing,
    RepositoryId,
    SetId,
    Shown,
    SnapshotId,
    Time,
)


class StoredIn(Shown, kw_only=True):
    """Where a set is stored."""

    destination: str
    repository: RepositoryId
    place: str


class ShortcutMeaning(Shown, kw_only=True):
    """What a shortcut means on the machine of the set."""

    word: str
    paths: list[str]
    left_out: list[str]
    """Directories that are taken out of `home`."""
    message: str
    """Why it means nothing, or not all; else empty."""


class BackupSet(Shown, kw_only=True):
    """A set with all its settings."""

    id: SetId
    name: str
    sources: list[str]
    to: list[str]
    mode: Literal["sequential", "concurrent"]
    max_concurrent: Count | None
    filters: list[FilterText]
    one_file_system: bool
    enabled: bool
    max_age: str | None
    stop_after: str | None
    quota: str | None
    compression: Literal["none", "fast", "normal", "best"]
    deduplication: Literal["off", "path", "set", "repository"]
    chunk_size: str
    check_before_sending: bool
    encryption: Literal["default", "password", "custom", "none"]
    cipher: str | None
    block_size: str | None
    parity: str | None
    password: SecretReference | None
    jobs: Count | None
    polite: bool
    verify: str | None
    """Share of what is stored that is read a day."""
    heal: bool
    """Whether periodic checks repair."""
    migrate: bool
    schedules: list[ScheduleText]
    tags: dict[str, str]
    temp_dir: str | None
    time_zone: str | None
    retention: RetentionText | None
    """null: each snapshot for 7 days after the next one."""
    retention_at: dict[str, RetentionText]
    """By destination, where another policy holds there."""
    unmatched: Literal["include", "exclude"]
    only_types: list[str]
    never_types: list[str]
    markers: list[str]
    cachedir_tag: bool
    gitignore: bool
    tolerate: list[ToleranceText]
    drop_warning: str | bool
    """Share of the last snapshot's files that has to be gone for a warning; `off`, or false."""
    follow_links: bool
    cache: CacheMode
    cache_min_size: str | None
    """With `cache: auto`; null: 500KB."""
    continuous: bool | ContinuousText
    """Whether its sources are watched, or when it runs then."""
    commands: list[CommandText]
    streams: list[StreamText]
    without: list[str]
    """Shortcuts that `home` does not take in."""
    shortcuts: list[ShortcutMeaning] | UnsetType = UNSET
    """What those among the sources mean now; of `set list` not told."""
    fs_snapshot: FsSnapshot
    """Of which kind of file system snapshots are made, from which runs read."""
    fs_snapshot_fallback: FsSnapshotFallback
    conditions: ConditionsText | None
    """Under which it runs by itself."""
    run_as: str | None
    """User with whose rights its sources are read; null: the daemon's."""
    owner: str | OwnerText | None
    """The machine that it belongs to; null: this one."""
    runs_here: bool
    """Whether that is this machine."""
    kept_in: str | None
    """File of conf.d; null: made by command."""
    created: Time
    repositories: list[StoredIn]


class SetList(Shown, kw_only=True):
    """Of `set list`."""

    sets: list[BackupSet]
    next: Nothing


class OneSet(Shown, kw_only=True):
    """Of `set show`."""

    set: BackupSet
    origins: list[Setting] | UnsetType = UNSET
    """With `--origins`: each setting as it holds."""


class ChangedSet(Changed, kw_only=True):
    """Of what makes, changes or forgets a set."""

    set: BackupSet
    job: JobId | UnsetType = UNSET
    """Of `--backup-now`."""


class PolicyAt(Shown, kw_only=True):
    """What holds for a set at one destination."""

    destination: str
    policy: RetentionText
    words: str
    meaning: str
    """For what is deleted at its source."""
    origin: Literal["default", "set", "destination"]


class PoliciesOfSet(Shown, kw_only=True):
    """All that hold for a set."""

    set: str
    destinations: list[PolicyAt]


class Policies(Shown, kw_only=True):
    """Of `retention show`."""

    sets: list[PoliciesOfSet]


class ChangedPolicy(ChangedSet, kw_only=True):
    """Of `retention set`."""

    destinations: list[PolicyAt]
    """As they hold now."""


class RetentionVerdict(Shown, kw_only=True):
    """What becomes of a snapshot."""

    id: SnapshotId
    short: str
    time: Time
    kept: bool
    reasons: list[str]


class RetentionAtPlace(Shown, kw_only=True):
    """What retention comes to at one destination."""

    destination: str
    error: Error | None
    """With it nothing was dropped there, and nothing else is told."""
    set_id: SetId | UnsetType = UNSET
    place: str | UnsetType = UNSET
    repository: RepositoryId | UnsetType = UNSET
    changed: bool | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
    plan: str | UnsetType = UNSET
    policy: RetentionText | UnsetType = UNSET
    policy_words: str | UnsetType = UNSET
    zone: str | UnsetType = UNSET
    kept_count: Count | UnsetType = UNSET
    dropped_count: Count | UnsetType = UNSET
    left_count: Count | UnsetType = UNSET
    """What was to go and the login may not drop: left to whoever frees space there."""
    deleted_count: Count | UnsetType = UNSET
    """Objects that are gone; what is locked, or a running backup builds on, goes later."""
    snapshots: list[RetentionVerdict] | UnsetType = UNSET
    """Oldest first."""


class RetentionDone(Changed, kw_only=True):
    """Of `retention plan` and `retention apply`."""

    set: str
    plan: str | None
    """For `retention apply --apply`; null: it could not be made everywhere."""
    kept_count: Count
    dropped_count: Count
    left_count: Count
    destinations: list[RetentionAtPlace]
