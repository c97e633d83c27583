"""Which waiting job may begin; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from backupd.model.jobs import JobKind
from backupd.sizes import count


class Waiting(msgspec.Struct, frozen=True):
    """A job as the queue sees it."""

    id: str
    kind: JobKind
    set_id: str | None
    user: int | None = None
    """The ordinary user for whom a restore works."""
    destinations: frozenset[str] = frozenset()
    """Names of those with a limit at which it works."""


class Turn(msgspec.Struct, frozen=True):
    """What the queue decides."""

    begin: list[str]
    """Jobs to begin now, in order."""
    waits_for: dict[str, str]
    """Why each of the others waits."""


_USERS_AT_ONCE = 4


def decide(
    waiting: Sequence[Waiting], running: Sequence[Waiting], most: int, limits: Mapping[str, int] = MappingProxyType({})
) -> Turn:
    """Decide who begins. waiting: the oldest first. most: of all but restores at once, and restores of one user.

    limits: name of a destination -> how many jobs may work there at once.

    Restores, which may be paused or left at a question for ever, keep no other user's waiting.

    One job a set at a time that writes it, a backup, a replication or a purge; a check wants its set free of them and
    of restores, and they wait for it; restores never wait for what writes. Restores begin before backups, backups
    before replications, checks, freeings and purges last (FEATURES 6.4, DESIGN 1). A freeing waits for another of the
    set alone.
    """
    under_way = list(running)
    begin: list[str] = []
    waits_for: dict[str, str] = {}
    for job in sorted(waiting, key=lambda one: _RANKS[one.kind]):
        reason = _blocker(job, under_way, most) or _full(job, under_way, limits)
        if reason:
            waits_for[job.id] = reason
        else:
            begin.append(job.id)
            under_way.append(job)
    return Turn(begin, waits_for)


_RANKS: dict[JobKind, int] = {"restore": 0, "backup": 1, "replicate": 2, "check": 3, "free": 4, "purge": 5}


def _running(number: int, noun: str) -> str:
    return f"{count(number, noun)} {'is' if number == 1 else 'are'} running"


def _blocker(job: Waiting, under_way: Sequence[Waiting], most: int) -> str:
    for other in under_way:
        if other.set_id is not None and other.set_id == job.set_id and _excludes(job.kind, other.kind):
            return f"job {other.id[:9]}: a {other.kind} of the same set"
    if job.kind != "restore":
        busy = [other for other in under_way if other.kind != "restore"]
        return f"a free place: {_running(len(busy), 'job')}" if len(busy) >= most else ""
    restores = [other for other in under_way if other.kind == "restore"]
    mine = [other for other in restores if other.user == job.user]
    if len(mine) >= most:
        return f"a free place: {_running(len(mine), 'restore')}"
    of_users = [other for other in restores if other.user is not None]
    if job.user is not None and len(of_users) >= most * _USERS_AT_ONCE:
        return f"a free place: {_running(len(of_users), 'restore')} for users"
    return ""


def _full(job: Waiting, under_way: Sequence[Waiting], limits: Mapping[str, int]) -> str:
    for name in sorted(job.destinations & limits.keys()):
        there = [other for other in under_way if name in other.destinations]
        if len(there) >= limits[name]:
            return f"{name}: {len(there)} {'job works' if len(there) == 1 else 'jobs work'} there, its limit"
    return ""


def _excludes(kind: JobKind, other: JobKind) -> bool:
    if "free" in (kind, other):
        # It goes on beside all but another one (DESIGN 8.3).
        return kind == other
    if "check" in (kind, other):
        return True
    return "restore" not in (kind, other)
