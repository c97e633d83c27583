"""Results of what the daemon keeps: sets, destinations, jobs, settings, and how all of it stands."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from backupd.model.files import FileStateName
from backupd.model.jobs import JobKind, JobState
from backupd.model.sets import ConfigText
from backupd.model.status import KeyState, Verdict
from bkctl.contract.account import AccountQuota
from bkctl.contract.areas import CountedAreas
from bkctl.contract.checks import Coverage, GivenUpLoss
from bkctl.contract.parts import (
    Base64,
    Bytes,
    Changed,
    Count,
    Error,
    Escaped,
    ExitCode,
    JobId,
    Nothing,
    Seconds,
    SetId,
    Shown,
    SnapshotId,
    Time,
    Traffic,
)


class Progress(Shown, kw_only=True):
    """Where a running job stands."""

    step: str
    files_done: Count
    files_total: Count | None
    bytes_done: Bytes
    bytes_total: Bytes | None
    bytes_stored: Bytes
    snapshots_done: Count | UnsetType = UNSET
    snapshots_total: Count | None | UnsetType = UNSET
    eta_seconds: float | None
    elapsed_seconds: float


class Job(Shown, kw_only=True):
    """A job."""

    id: JobId
    kind: JobKind
    set: str | None
    state: JobState
    caller: str
    schedule: str | None
    """Name of the schedule that asked for it."""
    created: Time
    """When it was queued; of a missed run: when it was due."""
    started: Time | None
    finished: Time | None
    seconds: Seconds | None
    exit: ExitCode | None
    waits_for: str | None
    progress: Progress | None
    result: dict[str, Any] | None
    """As the command gives it that began the job."""
    error: Error | None
    warnings: list[str]


class JobList(Shown, kw_only=True):
    """Of `job list`."""

    jobs: list[Job]
    next: str | None


class JobFile(Shown, kw_only=True):
    """The state of a file in a backup."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    state: FileStateName
    reason: str | None
    files: Count
    """1; of a directory, whose path ends with a slash, all files right in it."""
    destination: str | None


class OneJob(Shown, kw_only=True):
    """Of `job show`; the rest with `--files`."""

    job: Job
    files: list[JobFile] | UnsetType = UNSET
    next: Nothing | UnsetType = UNSET
    more_waiting: Count | UnsetType = UNSET
    """Files that wait besides those in `files`."""
    not_kept: Count | UnsetType = UNSET
    """States beyond the million that is kept of a run."""


class ChangedJob(Changed, kw_only=True):
    """Of `job cancel`, `job pause` and `job resume`."""

    job: JobId


class LogLine(Shown, kw_only=True):
    """A line of a job's log."""

    n: Count
    time: Time
    severity: Literal["information", "warning", "error"]
    step: Count
    message: str
    path: Escaped | UnsetType = UNSET
    path_b64: Base64 | UnsetType = UNSET


class JobLog(Shown, kw_only=True):
    """Of `job log`."""

    job: JobId
    lines: list[LogLine]
    next: Nothing


class Underway(Shown, kw_only=True):
    """A job of a set that waits or runs."""

    job: JobId
    kind: JobKind
    state: JobState
    share: float | None


class LastRun(Shown, kw_only=True):
    """How the newest run ended."""

    job: JobId
    state: JobState
    exit: ExitCode
    error: str | None
    finished: Time


class Quota(Shown, kw_only=True):
    """How much may be stored, and how much is."""

    of: Literal["set", "destination"]
    quota_bytes: Bytes
    used_bytes: Bytes
    left_bytes: Bytes


class Copy(Shown, kw_only=True):
    """A set at one destination."""

    destination: str
    place: str
    verdict: Verdict
    reason: str | None
    snapshot: SnapshotId | None
    time: Time | None
    age_seconds: int | None
    last_run: LastRun | None
    verified: Time | None
    verified_bytes: bool
    coverage: Coverage | None
    """As the last check told it; null: none has."""
    needs_decision: JobId | None
    """Job of the last check, where what it would give up as lost is beyond the limits."""
    given_up: GivenUpLoss | None
    """As the last check told it; null: nothing."""
    stored_bytes: Bytes | None
    free_bytes: Bytes | None
    files: Count | None
    source_bytes: Bytes | None
    """Of the last good snapshot; null where its run did not tell."""
    areas: CountedAreas | None
    """null: not counted yet."""
    locked_until: Time | None
    """So long nobody can delete what the last run's snapshot needs; null: nothing is locked there, or the last run
    could not extend all locks."""
    locks_error: str | None
    """Why it could not."""
    quotas: list[Quota]
    growth_bytes_per_day: int | None
    """Of what the set takes there, in the last two months; less than 0 where it shrinks; null: too little is known."""
    full_at: Time | None
    """When the destination is full, or its quota used up, if all sets there go on like that; null: not to be told."""
    seeding: Time | None
    """Since when its first copy is on its way on a disk."""
    traffic: Traffic | None
    """Of the last backup there; null where it told nothing."""


class Grade(Shown, kw_only=True):
    """How well a set is kept."""

    automatic: bool
    """A schedule runs it."""
    versioned: bool
    verified: bool
    restored: bool
    off_site: bool


class RunByItself(Shown, kw_only=True):
    """The next run of a schedule."""

    begins: Time
    schedule: str


class SetStatus(Shown, kw_only=True):
    """How a set stands."""

    set: str
    id: SetId
    enabled: bool
    max_age: str | None
    max_age_seconds: Count | None
    """Without `max_age`: two intervals of its schedules."""
    next_run: RunByItself | None
    underway: Underway | None
    last_run: LastRun | None
    key: KeyState
    grade: Grade
    destinations: list[Copy]
    owner: str | None
    """The machine that it belongs to and that alone runs it; null: this one."""


class Status(Shown, kw_only=True):
    """Of `status`."""

    time: Time
    sets: list[SetStatus]
    next: Nothing
    settings_warnings: list[str]
    account: AccountQuota | None
    """null: the account has no quota."""


class Finding(Shown, kw_only=True):
    """What `doctor` looked at."""

    check: str
    verdict: Literal["ok", "look", "wrong"]
    message: str
    mend: str | None


class Examination(Shown, kw_only=True):
    """Of `doctor`."""

    findings: list[Finding]
    next: Nothing
    bundle: str | None
    files: dict[str, Bytes] | UnsetType = UNSET
    """With `--bundle`: what stands in it, or would."""


class Setting(Shown, kw_only=True):
    """A setting in force."""

    key: str
    value: Any
    origin: str
    """`default`, `set`, a file with or without the line, of policy.yaml also the kind of rule."""


class ConfigFile(Shown, kw_only=True):
    """A file of conf.d."""

    file: str
    sets: list[str]
    destinations: list[str]
    notices: list[str]
    contacts: list[str]


class PolicyRule(Shown, kw_only=True):
    """What root laid down of one option."""

    area: Literal["sets", "destinations", "settings"]
    option: str
    kind: Literal["lock", "preset", "allow"]
    values: list[Any]
    """The one of a lock or preset, or those to choose from."""
    origin: str


class Config(Shown, kw_only=True):
    """Of `config show`."""

    directory: str
    settings: list[Setting]
    files: list[ConfigFile]
    policy: list[PolicyRule]


class ConfigExport(Shown, kw_only=True):
    """Of `config export`, what `config apply` takes."""

    config: ConfigText


class ConfigCheck(Shown, kw_only=True):
    """Of `config check`."""

    files: list[str]
    sets: list[str]
    destinations: list[str]
    notices: list[str]
    contacts: list[str]
    problems: list[str]


class ProxyStep(Shown, kw_only=True):
    """How far one came through a proxy."""

    name: Literal["connection", "login", "server", "tls"]
    verdict: Literal["good", "failed", "skipped"]
    error: Error | None


class ProxyTest(Shown, kw_only=True):
    """Of `config test-proxy`."""

    proxy: str
    to: str
    steps: list[ProxyStep]


class Memory(Shown, kw_only=True):
    """Of the machine."""

    total_bytes: Bytes
    available_bytes: Bytes | UnsetType = UNSET
    swap_total_bytes: Bytes | UnsetType = UNSET
    swap_free_bytes: Bytes | UnsetType = UNSET
    limit_bytes: Bytes | UnsetType = UNSET
    """Of the control group."""


class DaemonFacts(Shown, kw_only=True):
    """The daemon that answers."""

    version: str
    api: Count
    pid: Count
    started: Time
    socket: str
    config: str
    state: str
    jobs_running: Count
    jobs_queued: Count
    roles: list[str]
    destinations: dict[str, str]
    warnings: list[str]


class Info(Shown, kw_only=True):
    """Of `info`."""

    version: str
    python: str
    platform: str
    architecture: str
    processors: Count
    usable_processors: Count
    memory: Memory
    directories: dict[str, str | int]
    libraries: dict[str, str | None]
    kept_keys: Count
    repository: dict[str, Any] | UnsetType = UNSET
    """With `--from`."""
    daemon: DaemonFacts | None | UnsetType = UNSET


class Completion(Shown, kw_only=True):
    """Of `completion`."""

    shell: Literal["bash", "zsh", "fish"]
    script: str


