"""Which machines back up into the repositories of the sets that are known here, and when each did last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from backupd.errors import AccessError, BackupError, SetNotFoundError
from backupd.model.api import Overview, RepositoryView, SetList
from backupd.model.events import Done, Failed
from backupd.model.orders import SnapshotListOrder
from backupd.model.status import StatusReport
from backupd.sizes import format_seconds
from bkctl.conversation import Conversation, Listener
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonQuestion
from bkctl.screen import Screen
from bkctl.session import Session, described

DEFAULT_SECONDS = 7 * 86_400
"""What a set may be old at that is not known here, or says nothing."""
_FUTURE_SECONDS = 3600
"""A snapshot so far ahead of the clock proves nothing: it would look fresh for ever."""

HostState = Literal["good", "silent", "off"]


@dataclass(frozen=True, slots=True)
class HostSet:
    """A set of a machine, and its newest snapshot anywhere."""

    host: str
    set_name: str
    set_id: str
    destination: str
    """Where that snapshot was found first."""
    snapshot: str
    time: str
    """RFC 3339."""
    snapshots: int
    """How many it has there."""
    age_seconds: int
    limit_seconds: int
    state: HostState
    reason: str
    """Why it is silent."""


@dataclass(slots=True)
class AllHosts:
    """What was found."""

    now_ns: int
    sets: list[HostSet] = field(default_factory=list)
    """By host, then by name."""
    unread: list[tuple[RepositoryView, int, dict[str, Any]]] = field(default_factory=list)
    """Repositories that could not be listed, or not wholly: exit code and error."""
    warnings: list[str] = field(default_factory=list)


def find(session: Session, client: DaemonClient, words: Sequence[str], max_age_seconds: int | None) -> AllHosts:
    """Ask each repository. words: sets whose repositories are meant, empty: all.

    Raises AccessError, SetNotFoundError, DaemonUnreachableError.
    """
    if "admin" not in client.get("/v1/daemon", Overview).roles:
        raise AccessError(
            "the machines of a repository are shown to the role admin alone", hint="bkctl status shows this one"
        )
    report = client.get("/v1/status", StatusReport)
    found = AllHosts(report.now_ns)
    newest: dict[str, tuple[dict[str, Any], str, int]] = {}
    for repository in _repositories(client, words):
        listed = _listed(session, client, repository, found)
        for set_id in dict.fromkeys(one["set_id"] for one in listed):
            of_set = [one for one in listed if one["set_id"] == set_id]
            last = max(of_set, key=lambda one: datetime.fromisoformat(one["time"]))
            known = newest.get(set_id)
            if known is None or datetime.fromisoformat(known[0]["time"]) < datetime.fromisoformat(last["time"]):
                newest[set_id] = (last, repository.destination, len(of_set))
    rows = [_judged(*one, report, max_age_seconds) for one in newest.values()]
    found.sets = sorted(rows, key=lambda row: (row.host, row.set_name, row.set_id))
    return found


def _repositories(client: DaemonClient, words: Sequence[str]) -> Iterator[RepositoryView]:
    """Each once, though several sets may share it."""
    sets = client.get("/v1/sets", SetList).sets
    for word in words:
        if not any(word in (one.text.name, one.id) for one in sets):
            raise SetNotFoundError(f"no set is called {word}", hint="bkctl set list names them")
    chosen = [one for one in sets if not words or one.text.name in words or one.id in words]
    yield from {one.place: one for of_set in chosen for one in of_set.repositories}.values()


def _listed(
    session: Session, client: DaemonClient, repository: RepositoryView, found: AllHosts
) -> list[dict[str, Any]]:
    """Snapshots in a repository; what could not be read of it is noted."""
    order = SnapshotListOrder(place=repository.place)
    conversation = Conversation(session, Screen(session), Listener())
    try:
        last: Done | Failed = conversation.hold(lambda: DaemonQuestion(client, order))
    except BackupError as error:
        if session.timeout_seconds is not None and session.timeout_seconds <= 0:
            raise
        found.unread.append((repository, error.exit_code, described(error)))
        return []
    if last.error is not None:
        found.unread.append((repository, last.exit_code, last.error))
    found.warnings += last.warnings
    return list((last.result or {}).get("snapshots", []))


def _judged(
    last: dict[str, Any], destination: str, count: int, report: StatusReport, max_age_seconds: int | None
) -> HostSet:
    own = next((one for one in report.sets if one.id == last["set_id"]), None)
    limit = max_age_seconds
    if limit is None:
        limit = own.max_age_seconds if own is not None and own.max_age_seconds is not None else DEFAULT_SECONDS
    age = report.now_ns // 1_000_000_000 - int(datetime.fromisoformat(last["time"]).timestamp())
    state: HostState = "good"
    reason = ""
    if own is not None and not own.is_enabled:
        state = "off"
    elif age < -_FUTURE_SECONDS:
        state, reason = "silent", "its newest snapshot is from the future: is that machine's clock right?"
    elif age > limit:
        state, reason = "silent", f"{format_seconds(age)} old, {format_seconds(limit)} are allowed"
    return HostSet(
        host=last["host"],
        set_name=last["set"],
        set_id=last["set_id"],
        destination=destination,
        snapshot=last["id"],
        time=last["time"],
        snapshots=count,
        age_seconds=age,
        limit_seconds=limit,
        state=state,
        reason=reason,
    )
