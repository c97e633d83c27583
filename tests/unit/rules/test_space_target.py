"""Which snapshots go for a target: by hand, and for any history against a count of what is really held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from backupd.model.retention import RetentionText
from backupd.rules.retention.planning import DatedSnapshot, plan
from backupd.rules.space_target import (
    KEEP_ALL,
    Holder,
    Named,
    Order,
    TargetPlan,
    Weighed,
    order_of,
    plan_by_id,
    plan_for,
)
from tests.fault.conftest import Faults
from tests.unit.rules.test_retention_properties import NOW, NOW_NS, histories, is_past, policies

DAY_NS = 86_400 * 10**9
SET = "b" + 32 * "0"

Held = dict[str, frozenset[int]]
"""By snapshot: chunks, each of a hundred times its number bytes, and one of a byte, below zero, which is its root."""
ROOTS: dict[frozenset[int], int] = {}


def tree(chunks: Iterable[int]) -> frozenset[int]:
    """A snapshot that holds these: with a root, the same for the same."""
    found = frozenset(chunks)
    return found | {-1 - ROOTS.setdefault(found, len(ROOTS))}


def size(chunks: Iterable[int]) -> int:
    return sum(100 * number if number > 0 else 1 for number in chunks)


def snapshot(number: int, days_ago: float, **more: Any) -> DatedSnapshot:
    time_ns = NOW_NS - int(days_ago * DAY_NS)
    return DatedSnapshot(**{"id": f"s{number:032x}", "time_ns": time_ns, "made_ns": time_ns, **more})


def weigh(order: Order, held: Held, others: frozenset[int] = frozenset(), dead: int = 0) -> Weighed:
    """As the walk over all snapshots does it: those that stay first, then the last of the order, and so on."""
    going = [one.id for one in order.droppable]
    seen = set(others).union(*(chunks for id_, chunks in held.items() if id_ not in going))
    shares: dict[str, int] = {}
    for id_ in reversed(going):
        shares[id_] = size(held[id_] - seen)
        seen |= held[id_]
    contents = {id_: repr(sorted(chunks)).encode() for id_, chunks in held.items()}
    return Weighed(repository="r", order=order, shares=shares, contents=contents, dead_bytes=dead)


def short(found: TargetPlan) -> list[int]:
    return [int(drop.snapshot.id[1:], 16) for drop in found.drops]


def targeted(held: Mapping[int, set[int]], target: int, **named: Any) -> TargetPlan:
    """The plan for daily snapshots, the greatest number the newest."""
    newest = max(held)
    snapshots = [snapshot(number, newest - number) for number in held]
    order = order_of([Named(set_id=SET, snapshots=snapshots, **named)], NOW, UTC)
    return plan_for(weigh(order, {f"s{n:032x}": tree(chunks) for n, chunks in held.items()}), 100 * target)


GOLDEN: dict[str, tuple[dict[int, set[int]], int, list[int], int]] = {
    # what the snapshots hold, the target, those that go, what is missing
    "the oldest suffices": ({1: {5}, 2: {6}, 3: {7}}, 5, [1], 0),
    "as many as it takes": ({1: {5}, 2: {6}, 3: {7}}, 6, [1, 2], 0),
    "never the newest": ({1: {5}, 2: {6}, 3: {7}}, 100, [1, 2], 89),
    "what the newest holds too gives its root alone": ({1: {7}, 2: {6}, 3: {7, 8}}, 6, [1, 2], 0),
    "what the newest holds just so gives nothing": ({1: {7}, 2: {6}, 3: {7}}, 6, [2], 0),
    "two that hold the same go together": ({1: {5, 9}, 2: {5, 9}, 3: {8}}, 1, [1, 2], 0),
    "of two that hold the same none goes before it must": ({1: {3}, 2: {5}, 3: {5}, 4: {9}}, 3, [1], 0),
    "a state that came back and stays gives nothing": ({1: {4}, 2: {9}, 3: {5}, 4: {9}}, 9, [1, 3], 0),
    "shared by all but the newest": ({1: {5}, 2: {5, 1}, 3: {5}, 4: {8}}, 5, [1, 2, 3], 0),
    "nothing to give": ({1: {5}, 2: {5}, 3: {5}}, 1, [], 1),
    "one snapshot alone": ({1: {5}}, 5, [], 5),
    "nothing asked": ({1: {5}, 2: {6}}, 0, [], 0),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case: str) -> None:
    """More versions lost than it takes, or a disk that stays full."""
    held, target, going, missing = GOLDEN[case]
    found = targeted(held, target)
    assert (short(found), -(-found.short_bytes // 100)) == (going, missing)


def test_what_the_policy_drops_goes_first_and_whatever_the_target() -> None:
    """What the policy keeps would be lost while there is what it does not."""
    held = {1: {5}, 2: {6}, 3: {7}, 4: {8}}
    pinned = [snapshot(1, 3), snapshot(2, 2, is_pinned=True), snapshot(3, 1), snapshot(4, 0)]
    order = order_of([Named(set_id=SET, policy=RetentionText(jobs=2), snapshots=pinned)], NOW, UTC)
    weighed = weigh(order, {f"s{n:032x}": tree(chunks) for n, chunks in held.items()})
    assert order.held == {f"s{2:032x}": "pinned", f"s{4:032x}": "newest"}
    assert [short(plan_for(weighed, target)) for target in (0, 501, 502)] == [[1], [1], [1, 3]]
    assert [drop.snapshot.is_dropped_anyway for drop in plan_for(weighed, 502).drops] == [True, False]
    assert plan_for(weighed, 5000).short_bytes == 5000 - 501 - 701


HELD_BACK: dict[str, tuple[dict[str, Any], Holder]] = {
    "pinned": ({"is_pinned": True}, "pinned"),
    "tagged": ({"tags": {"legal": "yes"}}, "tagged"),
    "of the future": ({"made_ns": NOW_NS + DAY_NS}, "future"),
    "unfinished": ({"is_complete": False}, "unfinished"),
}


@pytest.mark.parametrize("case", HELD_BACK)
def test_what_never_goes(case: str) -> None:
    """A pin that does not hold is worse than none."""
    more, holder = HELD_BACK[case]
    one, newest = snapshot(1, 9, **more), snapshot(2, 0)
    policy = RetentionText(keep="all", keep_tags=["legal"])
    order = order_of([Named(set_id=SET, policy=policy, snapshots=[one, newest])], NOW, UTC)
    assert order == Order([], {one.id: holder, newest.id: "newest"})


def test_what_a_run_builds_on_stays() -> None:
    """It would give nothing back before that run has ended."""
    one, two, newest = snapshot(1, 9), snapshot(2, 5), snapshot(3, 0)
    order = order_of([Named(set_id=SET, snapshots=[one, two, newest], built_on=[one.id])], NOW, UTC)
    assert [found.id for found in order.droppable] == [two.id]
    assert order.held[one.id] == "writer"


def test_a_snapshot_of_the_future_pushes_out_none() -> None:
    """A clock that ran ahead for a night makes the last good one look old."""
    good, ahead = snapshot(1, 1), snapshot(2, -300)
    order = order_of([Named(set_id=SET, snapshots=[good, ahead])], NOW, UTC)
    assert order == Order([], {good.id: "newest", ahead.id: "future"})


def test_a_plan_is_found_by_its_id_while_nothing_changes() -> None:
    """Another one than was shown would be carried out."""
    held = {f"s{n:032x}": tree({n}) for n in range(1, 8)}
    snapshots = [snapshot(number, 8 - number) for number in range(1, 8)]
    order = order_of([Named(set_id=SET, snapshots=snapshots)], NOW, UTC)
    weighed = weigh(order, held)
    plans = [plan_for(weighed, target) for target in range(0, 3000, 50)]
    for made in plans:
        again = plan_by_id(weighed, made.id)
        assert again is not None
        assert again.drops == made.drops
    # An id is of what goes, not of the size that was asked for.
    assert len({made.id for made in plans}) == len({tuple(short(made)) for made in plans}) == 7
    newer = order_of([Named(set_id=SET, snapshots=[*snapshots, snapshot(8, 0)])], NOW, UTC)
    for changed in (weigh(newer, {**held, f"s{8:032x}": frozenset({8})}), weigh(order, held, others=frozenset({3}))):
        assert all(plan_by_id(changed, made.id) is None for made in plans)


@st.composite
def contents(draw: st.DrawFn) -> Callable[[str], frozenset[int]]:
    """What each snapshot holds; many of them share much, some all."""
    numbers = st.frozensets(st.integers(1, 9), max_size=5)
    kinds = draw(st.lists(numbers, min_size=1, max_size=6))
    return lambda id_: tree(kinds[int(id_[1:], 16) * 7 % len(kinds)])


def test_what_holds_of_every_history(faults: Faults) -> None:
    """The newest stays, a greater target drops no less, what is promised is given back, nothing goes for nothing."""

    def check(
        policy: RetentionText,
        history: list[DatedSnapshot],
        content: Callable[[str], frozenset[int]],
        others: frozenset[int],
        targets: list[int],
    ) -> None:
        order = order_of([Named(set_id=SET, policy=policy, snapshots=history)], NOW, UTC)
        held = {one.id: content(one.id) for one in history}
        weighed = weigh(order, held, others)
        before: set[str] = set()
        for target in sorted(targets):
            found = plan_for(weighed, target)
            gone = {drop.snapshot.id for drop in found.drops}
            assert before <= gone
            before = gone
            _check_plan(found, policy, history, target)
            left = others.union(*(chunks for id_, chunks in held.items() if id_ not in gone))
            assert found.freed_bytes == size(others.union(*held.values()) - left)
            assert found.short_bytes == max(0, target - found.freed_bytes)
            for drop in found.beyond_policy:
                # Without it, less.
                more = left | held[drop.snapshot.id]
                assert size(more - left) > 0

    drawn = given(
        policy=st.just(KEEP_ALL) | policies(),
        history=histories(),
        content=contents(),
        others=st.frozensets(st.integers(1, 9), max_size=3),
        targets=st.lists(st.integers(0, 6000), min_size=1, max_size=4),
    )(check)
    count = 10_000 if faults.is_full else 200
    settings(max_examples=count, database=None, suppress_health_check=[*HealthCheck])(seed(faults.seed)(drawn))()


def _check_plan(found: TargetPlan, policy: RetentionText, history: list[DatedSnapshot], target: int) -> None:
    by_id = {one.id: one for one in history}
    gone = [by_id[drop.snapshot.id] for drop in found.drops]
    past = sorted((o for o in history if o.is_complete and is_past(o)), key=lambda o: (o.time_ns, o.id))
    assert not any(one.is_pinned or not one.is_complete or not is_past(one) or one is past[-1] for one in gone)
    dropped = {one.id for one in plan(policy, history, NOW, UTC).dropped}
    assert dropped <= {one.id for one in gone}
    beyond = [by_id[drop.snapshot.id] for drop in found.beyond_policy]
    assert [one.id for one in beyond] == [one.id for one in sorted(beyond, key=lambda o: (o.time_ns, o.id))]
    if beyond:
        assert found.freed_bytes - found.beyond_policy[-1].bytes < target
