"""Which snapshots are dropped so that so much space is given back (`free --target`); pure (FEATURES 7.6).

First those that the policies drop anyway, then the others, each time the oldest first. Never: a set's newest complete
snapshot, nor that of a machine which it belonged to before, what is pinned or has a tag that the policy keeps, what is
dated in the future, what a writer under way builds on, anything of a set that nobody named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Literal

import msgspec

from backupd.model.retention import RetentionText
from backupd.rules.retention.plan_ids import plan_id
from backupd.rules.retention.planning import FUTURE, NEWEST, OF_HOST, PINNED, TAGGED, DatedSnapshot, plan

Holder = Literal["newest", "future", "pinned", "tagged", "writer", "unfinished", "other_sets"]
"""Why a snapshot is not dropped, whatever the target."""
HOLDERS: tuple[Holder, ...] = ("newest", "other_sets", "future", "pinned", "tagged", "writer", "unfinished")
"""In the order in which what they hold is counted: each besides those before."""

KEEP_ALL = RetentionText(keep="all")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A set that may lose snapshots."""

    set_id: str
    policy: RetentionText = KEEP_ALL
    snapshots: Sequence[DatedSnapshot]
    """All of the set; each id once."""
    built_on: Collection[str] = ()
    """Ids of those that writers under way build on."""


class Droppable(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that may be dropped for a target."""

    id: str
    set_id: str
    time_ns: int
    is_dropped_anyway: bool
    """By the policy."""
    reasons: list[str]
    """Of the policy, why it stays or goes."""


class Order(msgspec.Struct, frozen=True):
    """The snapshots of the sets that were named."""

    droppable: list[Droppable]
    """In the order in which they go."""
    held: dict[str, Holder]
    """By id, complete or not: why it stays."""


class Drop(msgspec.Struct, frozen=True):
    """One snapshot of a plan."""

    snapshot: Droppable
    bytes: int
    """What is given back by it when it goes together with those before it."""


class TargetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What goes."""

    id: str
    drops: list[Drop]
    dead_bytes: int
    """What no snapshot needs, given back without any drop."""
    short_bytes: int
    """By how much the target is missed when all goes that helps."""

    @property
    def freed_bytes(self) -> int:
        """All that is given back."""
        return self.dead_bytes + sum(drop.bytes for drop in self.drops)

    @property
    def beyond_policy(self) -> list[Drop]:
        """Those that go for the target alone."""
        return [drop for drop in self.drops if not drop.snapshot.is_dropped_anyway]


def order_of(sets: Sequence[Named], now: datetime, zone: tzinfo) -> Order:
    """In which order snapshots would go, and why others never do. now: aware. zone: in which days begin and end."""
    droppable: list[Droppable] = []
    held: dict[str, Holder] = {}
    for named in sets:
        held |= {one.id: "unfinished" for one in named.snapshots if not one.is_complete}
        for verdict in plan(named.policy, named.snapshots, now, zone).verdicts:
            one = verdict.snapshot
            holder = _holder(verdict.reasons) or ("writer" if one.id in named.built_on else None)
            if holder is not None:
                held[one.id] = holder
                continue
            droppable.append(
                Droppable(
                    id=one.id,
                    set_id=named.set_id,
                    time_ns=one.time_ns,
                    is_dropped_anyway=not verdict.is_kept,
                    reasons=verdict.reasons,
                )
            )
    droppable.sort(key=lambda one: (not one.is_dropped_anyway, one.time_ns, one.id))
    return Order(droppable, held)


def _holder(reasons: Sequence[str]) -> Holder | None:
    if NEWEST in reasons or any(reason.startswith(OF_HOST) for reason in reasons):
        return "newest"
    if FUTURE in reasons:
        return "future"
    if PINNED in reasons:
        return "pinned"
    return "tagged" if any(reason.startswith(TAGGED) for reason in reasons) else None


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What the walk over all snapshots found."""

    repository: str
    order: Order
    shares: Mapping[str, int]
    """By id: stored bytes that nobody needs any more when it goes together with those before it in the order."""
    contents: Mapping[str, bytes]
    """By id, of all snapshots of the sets: a name for what it holds, the same where two hold the same."""
    dead_bytes: int


def plan_for(weighed: Weighed, target_bytes: int) -> TargetPlan:
    """The plan that gives so much back, or as much of it as can be. More for a greater target, never less."""
    order = weighed.order.droppable
    count = sum(one.is_dropped_anyway for one in order)
    staying = {weighed.contents[id_] for id_ in weighed.order.held}
    last = {weighed.contents[one.id]: at for at, one in enumerate(order)}
    together: dict[bytes, int] = {}
    freed = weighed.dead_bytes + sum(weighed.shares[one.id] for one in order[:count])
    cut = count
    for at in range(count, len(order)):
        if freed >= target_bytes:
            break
        content = weighed.contents[order[at].id]
        together[content] = together.get(content, 0) + weighed.shares[order[at].id]
        if content not in staying and last[content] == at:
            # Those that hold the same give something when the last of them goes.
            freed += together[content]
            cut = at + 1
    return _plan(weighed, cut, max(0, target_bytes - freed))


def plan_by_id(weighed: Weighed, wanted: str) -> TargetPlan | None:
    """The plan of that id, or that its beginning names; None: things are others than when it was made."""
    order, state = weighed.order.droppable, _state(weighed)
    count = sum(one.is_dropped_anyway for one in order)
    for cut in range(count, len(order) + 1):
        if plan_id(state, str(cut)).startswith(wanted):
            return _plan(weighed, cut, 0)
    return None


def _plan(weighed: Weighed, cut: int, short_bytes: int) -> TargetPlan:
    """The plan of the first so many of the order, but those that do not help."""
    chosen = {one.id for one in weighed.order.droppable[:cut]}
    staying = {content for id_, content in weighed.contents.items() if id_ not in chosen}
    drops = [
        Drop(one, weighed.shares[one.id])
        for one in weighed.order.droppable[:cut]
        # What another one holds just so stays there anyway.
        if one.is_dropped_anyway or weighed.contents[one.id] not in staying
    ]
    return TargetPlan(
        id=plan_id(_state(weighed), str(cut)), drops=drops, dead_bytes=weighed.dead_bytes, short_bytes=short_bytes
    )


def _state(weighed: Weighed) -> str:
    """The same as long as the same snapshots of the sets are there, and would give the same back."""
    parts = [weighed.repository, *sorted(weighed.order.held)]
    for one in weighed.order.droppable:
        parts += [one.id, str(weighed.shares[one.id]), str(one.is_dropped_anyway)]
    return plan_id(*parts)
