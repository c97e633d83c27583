"""Bodies and answers of the daemon's API, version 1. Times are nanoseconds since 1970 UTC."""

from __future__ import annotations

from typing import Any, Literal

from backupd.model.any_order import AnyOrder
from backupd.model.files import FileState
from backupd.model.jobs import JobView, LogLine
from backupd.model.orders import CheckOrder, FreeOrder, IfRunning, ReplicateOrder, RestoreOrder
from backupd.model.policies import PolicyRule
from backupd.model.purge_orders import PurgeOrder
from backupd.model.sets import ConfigDocument, ConfigText, DestinationText, SetText
from backupd.model.shortcuts import ShortcutView
from backupd.model.structs import Number, Rate, Seconds, Strict, Struct

API_VERSION = 1


class Change(Struct, frozen=True, kw_only=True):
    """What a changing call did."""

    changed: bool
    diff: dict[str, Any] = {}
    """Field -> {from, to}; for several things: kind/name -> such a map."""
    dry_run: bool = False
    warnings: list[str] = []


class RepositoryView(Struct, frozen=True, kw_only=True):
    """Where a set is stored."""

    destination: str
    repository: str
    place: str


class SettingView(Struct, frozen=True, kw_only=True):
    """One setting of the daemon that is in force."""

    key: str
    """As `queue.jobs_at_once`."""
    value: Any
    origin: str
    """File and line, or `default`."""


class OwnerView(Struct, frozen=True, kw_only=True):
    """The machine that a set belongs to."""

    name: str
    """Its host name, else the begin of its host id."""
    id: str | None
    """Its host id, where it is known."""
    after: list[str]
    """Hosts that it belonged to before, whose snapshots its own go on with."""
    is_here: bool
    """Whether it is the machine of this daemon, and the set runs here."""


class SetView(Struct, frozen=True, kw_only=True):
    """A backup set."""

    id: str
    text: SetText
    file: str | None
    """Of conf.d; None: made by command."""
    created_ns: int
    repositories: list[RepositoryView] = []
    """Empty before the first run."""
    shortcuts: list[ShortcutView] | None = None
    """What those among its sources mean now; None: that was not looked up."""
    origins: list[SettingView] | None = None
    """Each setting as it holds, with where it comes from; None: nobody asked."""
    owner: OwnerView | None = None
    limit_seconds: int | None = None
    """Two of its longest intervals, whoever runs it; None: that was not looked up, or it has none."""


class SetList(Struct, frozen=True, kw_only=True):
    """All sets, by name."""

    sets: list[SetView]


class SetChange(Struct, frozen=True, kw_only=True):
    """A set that was made or changed."""

    set: SetView
    change: Change


class EditSet(Strict, frozen=True, kw_only=True):
    """A set's new text; what is not meant to change is given as it was."""

    text: SetText
    dry_run: bool = False
    said: list[str] | None = None
    """Names of fields that the caller gave, of a new one: into the others goes what a policy lays down; none: all."""


class SeedingView(Struct, frozen=True, kw_only=True):
    """What a destination waits for that is seeded."""

    place: str
    """Directory on the disk, where it was written."""
    since_ns: int
    sets: list[str]
    """Names of those that are on it; runs of them leave the destination alone."""


class DestinationView(Struct, frozen=True, kw_only=True):
    """A destination."""

    id: str
    text: DestinationText
    file: str | None
    created_ns: int
    sets: list[str]
    """Names of those that are stored there."""
    seeding: SeedingView | None = None
    """None: nothing is on its way there."""


class DestinationList(Struct, frozen=True, kw_only=True):
    """All destinations, by name."""

    destinations: list[DestinationView]


class DestinationChange(Struct, frozen=True, kw_only=True):
    """A destination that was made or changed."""

    destination: DestinationView
    change: Change


class EditDestination(Strict, frozen=True, kw_only=True):
    """A destination's new text."""

    text: DestinationText
    dry_run: bool = False
    place_anew: bool = False
    """Take the place as it is now, whatever disk it was on before."""
    said: list[str] | None = None
    """As of a set."""


class ApplyConfig(Strict, frozen=True, kw_only=True):
    """Documents with sets and destinations that are to be as they say."""

    documents: list[ConfigDocument]
    prune: bool = False
    """Disable the sets that are in none of them; those kept in files stay as they are."""
    dry_run: bool = False


class ConfigExport(Struct, frozen=True, kw_only=True):
    """Sets and destinations as a document of `config apply`."""

    config: ConfigText


class ConfigFileView(Struct, frozen=True, kw_only=True):
    """A file of conf.d that definitions came from."""

    file: str
    sets: list[str]
    destinations: list[str]
    notices: list[str] = []
    contacts: list[str] = []


class ConfigView(Struct, frozen=True, kw_only=True):
    """The settings in force and where they come from."""

    directory: str
    settings: list[SettingView]
    files: list[ConfigFileView]
    policy: list[PolicyRule]
    """What root laid down."""
    warnings: list[str]


class EditSetting(Strict, frozen=True, kw_only=True):
    """A new value for a setting of backupd.yaml."""

    key: str
    value: str
    """As it would stand in the file."""
    dry_run: bool = False


class StartBackup(Strict, frozen=True, kw_only=True):
    """Run sets now."""

    sets: list[str] = []
    """Names or ids."""
    all: bool = False
    """Every set that is enabled."""
    to: list[str] = []
    """Destinations; empty: all of each set."""
    if_running: IfRunning = "fail"
    stop_after_seconds: Seconds | None = None
    tags: dict[str, str] = {}
    dry_run: bool = False
    upload_rate: Rate | None = None
    """The lowest of it and the rules of bandwidth holds."""
    download_rate: Rate | None = None
    retention: bool = False
    """Drop what the policy does not keep, at each destination where the run was good."""
    migrate: bool = False
    """Store anew what is not stored as the set wants it now, at each destination where the run was good."""
    estimate: bool = False
    """A dry run that also says how much would be stored, and whether it fits."""


class StartRestore(Strict, frozen=True, kw_only=True):
    """Write a snapshot's entries somewhere; `order.place` is a destination or empty."""

    order: RestoreOrder


class StartCheck(Strict, frozen=True, kw_only=True):
    """Verify what is stored; `order.set_names` empty: all sets."""

    order: CheckOrder
    apply: str = ""
    """Job of an earlier check: what it found lost is given up, if it is just that now; of the order only how to open
    the place and how hard to work counts then."""


class StartFree(Strict, frozen=True, kw_only=True):
    """Give space back; `order.set_names` empty: of all sets."""

    order: FreeOrder


class StartPurge(Strict, frozen=True, kw_only=True):
    """Delete backup data at `order.place`; `order.plan` is the id of the plan that was shown."""

    order: PurgeOrder


class StartReplicate(Strict, frozen=True, kw_only=True):
    """Copy snapshots between two destinations: `order.place`, `order.to`; `order.set_names` empty: all sets there."""

    order: ReplicateOrder


class StartSeeding(Strict, frozen=True, kw_only=True):
    """Write the first copy for a destination to a disk; until it is adopted, runs leave the destination alone."""

    on: str
    """Absolute path of a directory of that disk."""
    sets: list[str] = []
    """Names or ids; empty: all that are to be stored there and are not yet."""
    all: bool = False
    """The whole history of each set, not the newest snapshot alone."""


class SkippedSet(Struct, frozen=True, kw_only=True):
    """A set that was passed over, for a run of it is under way."""

    set: str
    job: str


class LeftOutSet(Struct, frozen=True, kw_only=True):
    """A set that a call for all of them does not mean."""

    set: str
    owner: str | None
    """The machine that it belongs to; null: this one, where it is disabled."""


class Started(Struct, frozen=True, kw_only=True):
    """Jobs that were queued, or joined."""

    jobs: list[JobView]
    skipped: list[SkippedSet] = []
    unstored: list[str] = []
    """Of a check of all sets: names of those of which nothing is stored yet."""
    left_out: list[LeftOutSet] = []
    """Where all were asked for."""


class Question(Strict, frozen=True, kw_only=True):
    """An order that is answered while the caller waits: listings, single files, keys."""

    order: AnyOrder
    name: str = ""
    """Under which the caller answers what the order asks; drawn by the caller, 32 hex digits."""


class Reply(Strict, frozen=True, kw_only=True):
    """An answer to something that a job or question asked."""

    ask: Number
    text: str


class Ending(Strict, frozen=True, kw_only=True):
    """How a job is to end."""

    signal: Literal["int", "term"] = "int"


class JobList(Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next: str | None
    """For `after` of the next page."""


class LogPage(Struct, frozen=True, kw_only=True):
    """A page of a job's log."""

    lines: list[LogLine]
    next: int | None
    """For `after` of the next page."""


class FilesPage(Struct, frozen=True, kw_only=True):
    """A page of the states of a job's files, in the order in which they came; and what is under way now."""

    files: list[FileState]
    running: list[bytes] = []
    waiting: list[bytes] = []
    """A hundred of each at most, while the job runs."""
    more_waiting: int = 0
    not_kept: int = 0
    """States beyond the million of a run."""
    next: int
    """For `after` of the next page."""
    is_end: bool
    """Whether there is no more so far."""


class Overview(Struct, frozen=True, kw_only=True):
    """The daemon itself."""

    version: str
    api: int
    pid: int
    started_ns: int
    socket: str
    config: str
    state: str
    jobs_running: int
    jobs_queued: int
    warnings: list[str]
    roles: list[str]
    """Of the caller."""
    host: str = ""
    """Name of the machine."""
    host_id: str = ""
    """32 hex digits."""


class Nothing(Strict, frozen=True, kw_only=True):
    """An empty body."""
