"""The decision itself: each snapshot of a set with whether it stays, and why.

Kept if any part of the policy keeps it. What can't be told well keeps: a snapshot that is dated in the future stays and
counts for nothing, so that it pushes out no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

import msgspec

from backupd.clock import to_datetime
from backupd.model.retention import RetentionRule, RetentionText
from backupd.model.retention_words import rule_label
from backupd.rules.retention.marks import marks_of

NEWEST, PINNED, TAGGED, FUTURE = "newest", "pinned", "tag ", "dated in the future"
"""Reasons why a snapshot stays whatever the rest of the policy says; `tag ` goes on with the tag."""
OF_HOST = "newest of "
"""Goes on with the machine: that of one to which the set belonged before."""
BEFORE_DROP, DROP = "last before far fewer files", "far fewer files than before"
"""Reasons for a month: until then somebody has seen that a disk was not mounted."""
_DROP_DAYS = 30
_DAY_NS = 86_400 * 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision needs to know of a snapshot."""

    id: str
    """`s` and hex."""
    time_ns: int
    """When its run began to read: what it belongs to by days."""
    made_ns: int
    """When it was committed: from then on the one before it is a former state."""
    is_complete: bool = True
    is_pinned: bool = False
    tags: Mapping[str, str] = {}
    is_far_fewer: bool = False
    """Its run found far fewer files than the one before."""
    host_id: str = ""
    host: str = ""
    """The machine that made it, by id and name."""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a snapshot, and why; a reason at least."""

    snapshot: DatedSnapshot
    is_kept: bool
    reasons: list[str]


class RetentionPlan(msgspec.Struct, frozen=True):
    """The verdicts on all complete snapshots of a set, oldest first."""

    verdicts: list[Verdict]

    @property
    def kept(self) -> list[DatedSnapshot]:
        """Those that stay."""
        return [verdict.snapshot for verdict in self.verdicts if verdict.is_kept]

    @property
    def dropped(self) -> list[DatedSnapshot]:
        """Those that may go."""
        return [verdict.snapshot for verdict in self.verdicts if not verdict.is_kept]


def plan(
    policy: RetentionText, snapshots: Sequence[DatedSnapshot], now: datetime, zone: tzinfo
) -> RetentionPlan:
    """Decide which snapshots stay and why; changes nothing.

    policy: one that `check_policy` took. snapshots: of one set, each id once, any order, may be empty; incomplete ones
    are left out, they neither count nor go. now: aware. zone: the set's, in which days begin and end.
    Source: docs/retention.md, FEATURES 7.1.
    """
    complete = sorted((one for one in snapshots if one.is_complete), key=lambda one: (one.time_ns, one.id))
    now_ns = (now - _EPOCH) // timedelta(microseconds=1) * 1000 + 999
    past = [one for one in complete if max(one.time_ns, one.made_ns) <= now_ns]
    reasons: dict[str, list[str]] = {one.id: [] for one in complete}
    for one in complete:
        reasons[one.id] += _reasons_of_its_own(policy, one)
        if max(one.time_ns, one.made_ns) > now_ns:
            reasons[one.id].append(FUTURE)
    if past:
        reasons[past[-1].id].insert(0, NEWEST)
    for one in _newest_of_others(past):
        reasons[one.id].append(f"{OF_HOST}{one.host}")
    for before, one in pairwise(past):
        # Were only the first kept, it would go as soon as the policy drops the one that says why.
        if one.is_far_fewer and now_ns < one.made_ns + _DROP_DAYS * _DAY_NS:
            reasons[before.id].append(BEFORE_DROP)
            reasons[one.id].append(DROP)
    over: dict[str, list[str]] = {one.id: [] for one in past}
    for part in (_by_days, _by_jobs):
        for one, is_kept, reason in part(policy, past, now_ns, zone):
            (reasons if is_kept else over)[one.id].append(reason)
    today = now.astimezone(zone).date()
    for rule in policy.rules:
        for one, reason in _by_rule(rule, past, today, zone):
            reasons[one.id].append(reason)
    if policy.rules:
        for left in over.values():
            left.append("no rule keeps it")
    return RetentionPlan(
        [Verdict(one, bool(reasons[one.id]), reasons[one.id] or over[one.id]) for one in complete]
    )


def _newest_of_others(past: Sequence[DatedSnapshot]) -> Iterator[DatedSnapshot]:
    """The newest of each machine but that of the newest: no later one has what that machine had.

    past: oldest first. A machine that was renamed has its id still, one that was set up anew its name.
    """
    seen: set[tuple[str, str]] = set()
    for one in reversed(past):
        ways = {("id", one.host_id), ("name", one.host)}
        if seen and not ways & seen:
            yield one
        seen |= ways


def _reasons_of_its_own(policy: RetentionText, one: DatedSnapshot) -> Iterator[str]:
    """Why it stays whatever else there is."""
    if one.is_pinned:
        yield PINNED
    for tag in policy.keep_tags:
        key, equals, value = tag.partition("=")
        if key in one.tags and (not equals or one.tags[key] == value):
            yield f"{TAGGED}{tag}"
    if policy.keep == "all":
        yield "keep all"


def _by_days(
    policy: RetentionText, past: Sequence[DatedSnapshot], now_ns: int, zone: tzinfo
) -> Iterator[tuple[DatedSnapshot, bool, str]]:
    """Until N days after the next one was made: from then on it has been a former state for so long."""
    if policy.days is None:
        return
    former_ns = 0
    for at, one in enumerate(past[:-1]):
        # Never before what was made earlier: else an older one could outlive a newer one, by clocks that stepped.
        former_ns = max(former_ns, one.made_ns, past[at + 1].made_ns)
        until_ns = former_ns + policy.days * _DAY_NS
        is_kept = now_ns < until_ns
        day = to_datetime(until_ns).astimezone(zone).date()
        yield one, is_kept, f"days {policy.days}: {'until' if is_kept else 'over since'} {day}"


def _by_jobs(
    policy: RetentionText, past: Sequence[DatedSnapshot], _now_ns: int, _zone: tzinfo
) -> Iterator[tuple[DatedSnapshot, bool, str]]:
    """Until N newer ones are there."""
    if policy.jobs is None:
        return
    for at, one in enumerate(past):
        newer = len(past) - 1 - at
        yield one, newer < policy.jobs, f"jobs {policy.jobs}: {newer} newer"


def _by_rule(
    rule: RetentionRule, past: Sequence[DatedSnapshot], today: date, zone: tzinfo
) -> Iterator[tuple[DatedSnapshot, str]]:
    """The newest of each period whose mark has come, for as many periods as the rule says.

    A period without a snapshot does not count: who was away for a year finds what was there before.
    """
    marks, label = marks_of(rule), rule_label(rule)
    count = rule.count if rule.dates is not None else next(n for n in _counts(rule) if n is not None)
    seen: set[date] = set()
    for one in reversed(past):
        day = to_datetime(one.time_ns).astimezone(zone).date()
        mark = marks.next_mark(day)
        if mark is None or mark > today or mark in seen:
            continue
        if count is not None and len(seen) == count:
            return
        seen.add(mark)
        number = f" {len(seen)}/{count}" if count is not None else ""
        if rule.dates is not None:
            number += f" {mark}"
        yield one, f"{label}{number}" + (f", as of {mark}" if mark != day and rule.dates is None else "")


def _counts(rule: RetentionRule) -> list[int | None]:
    return [rule.daily, rule.weekly, rule.monthly, rule.quarterly, rule.yearly]
