"""Bodies and answers of the daemon's API, version 1. Times are nanoseconds since 1970 UTC."""

from __future__ import annotations

from typing import Any, Literal

from backupd.model.jobs import JobView, LogLine
from backupd.model.orders import AnyOrder, CheckOrder, IfRunning, RestoreOrder, Struct
from backupd.model.sets import DestinationText, SetText

API_VERSION = 1


class Change(Struct, frozen=True, kw_only=True):
    """What a changing call did."""

    changed: bool
    diff: dict[str, Any] = {}
    """Field -> {from, to}; for several things: kind/name -> such a map."""
    dry_run: bool = False


class RepositoryView(Struct, frozen=True, kw_only=True):
    """Where a set is stored."""

    destination: str
    repository: str
    place: str


class SetView(Struct, frozen=True, kw_only=True):
    """A backup set."""

    id: str
    text: SetText
    file: str | None
    """Of conf.d; None: made by command."""
    created_ns: int
    repositories: list[RepositoryView] = []
    """Empty before the first run."""


class SetList(Struct, frozen=True, kw_only=True):
    """All sets, by name."""

    sets: list[SetView]


class SetChange(Struct, frozen=True, kw_only=True):
    """A set that was made or changed."""

    set: SetView
    change: Change


class EditSet(Struct, frozen=True, kw_only=True):
    """A set's new text; what is not meant to change is given as it was."""

    text: SetText
    dry_run: bool = False


class DestinationView(Struct, frozen=True, kw_only=True):
    """A destination."""

    id: str
    text: DestinationText
    file: str | None
    created_ns: int
    sets: list[str]
    """Names of those that are stored there."""


class DestinationList(Struct, frozen=True, kw_only=True):
    """All destinations, by name."""

    destinations: list[DestinationView]


class DestinationChange(Struct, frozen=True, kw_only=True):
    """A destination that was made or changed."""

    destination: DestinationView
    change: Change


class EditDestination(Struct, frozen=True, kw_only=True):
    """A destination's new text."""

    text: DestinationText
    dry_run: bool = False


class StartBackup(Struct, frozen=True, kw_only=True):
    """Run sets now."""

    sets: list[str] = []
    """Names or ids."""
    all: bool = False
    """Every set that is enabled."""
    to: list[str] = []
    """Destinations; empty: all of each set."""
    if_running: IfRunning = "fail"
    stop_after_seconds: int | None = None
    tags: dict[str, str] = {}
    dry_run: bool = False


class StartRestore(Struct, frozen=True, kw_only=True):
    """Write a snapshot's entries somewhere; `order.place` is a destination or empty."""

    order: RestoreOrder


class StartCheck(Struct, frozen=True, kw_only=True):
    """Verify what is stored; `order.set_names` empty: all sets."""

    order: CheckOrder


class Started(Struct, frozen=True, kw_only=True):
    """Jobs that were queued, or joined."""

    jobs: list[JobView]


class Question(Struct, frozen=True, kw_only=True):
    """An order that is answered while the caller waits: listings, single files, keys."""

    order: AnyOrder
    name: str = ""
    """Under which the caller answers what the order asks; drawn by the caller, 32 hex digits."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer to something that a job or question asked."""

    ask: int
    text: str


class Ending(Struct, frozen=True, kw_only=True):
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


class Nothing(Struct, frozen=True, kw_only=True):
    """An empty body."""
