"""What holds for every policy and every history, with clocks that went wrong among them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from backupd.model.retention import RetentionText
from backupd.rules.retention.checking import check_policy
from backupd.rules.retention.marks import marks_of
from backupd.rules.retention.planning import DatedSnapshot, RetentionPlan, plan
from tests.fault.conftest import Faults

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NOW_NS = (NOW - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
HOUR_NS = 3600 * 10**9
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Vienna", "America/St_Johns", "Pacific/Apia")]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

counts = st.integers(1, 9) | st.just(365)
weekdays = st.sampled_from(WEEKDAYS)
ordinals = st.sampled_from(("first", "second", "third", "fourth", "last"))
days_in_month = st.integers(1, 31).map(str) | st.just("last") | st.builds("{}-{}".format, ordinals, weekdays)
month_lists = st.lists(st.sampled_from(MONTHS), min_size=1, max_size=4).map(",".join)
weeks = st.builds("w{}/{}".format, st.integers(1, 53), weekdays)
rule_texts = st.one_of(
    st.builds(lambda n: {"daily": n}, counts),
    st.builds(lambda n, w: {"weekly": n, "when": ",".join(w)}, counts, st.lists(weekdays, min_size=1, max_size=3)),
    st.builds(lambda n, w: {"monthly": n, "when": w}, counts, days_in_month),
    st.builds(lambda n, m, w: {"quarterly": n, "when": f"{m}/{w}"}, counts, month_lists, days_in_month),
    st.builds(lambda n, m, w: {"yearly": n, "when": f"{m}/{w}"}, counts, st.sampled_from(MONTHS), days_in_month),
    st.builds(lambda n, w: {"yearly": n, "when": w}, counts, weeks),
    st.builds(
        lambda d, n: {"dates": d, "count": n},
        st.lists(st.dates(date(2024, 1, 1), date(2028, 1, 1)), min_size=1, max_size=4),
        st.none() | counts,
    ),
)


@st.composite
def policies(draw: st.DrawFn) -> RetentionText:
    """Any that is taken; mostly rules."""
    fields: dict[str, Any] = {"rules": draw(st.lists(rule_texts, max_size=4))}
    fields |= {name: draw(counts) for name in ("days", "jobs") if draw(st.integers(0, 3)) == 0}
    if not fields["rules"] and len(fields) == 1:
        fields |= draw(st.sampled_from(({"keep": "all"}, {"days": 7}, {"jobs": 1})))
    if draw(st.booleans()):
        fields["keep_tags"] = draw(st.lists(st.sampled_from(("why", "why=upgrade", "who=me")), max_size=2))
    return check_policy(msgspec.convert(fields, RetentionText))


@st.composite
def histories(draw: st.DrawFn) -> list[DatedSnapshot]:
    """Runs of days, hours or months, some stopped, pinned or tagged; some of the future, or that took long."""
    unit = draw(st.sampled_from((HOUR_NS, 24 * HOUR_NS, 24 * HOUR_NS, 30 * 24 * HOUR_NS)))
    made: list[DatedSnapshot] = []
    for number, steps in enumerate(draw(st.lists(st.integers(-6, 60), max_size=24))):
        jitter_ns = draw(st.integers(0, 23)) * HOUR_NS
        seconds = draw(st.sampled_from((0, 60, 60, 3 * 86_400, 10**9)))
        time_ns = NOW_NS - steps * unit - jitter_ns
        made.append(
            DatedSnapshot(
                id=f"s{number:032x}",
                time_ns=time_ns,
                made_ns=time_ns + seconds * 10**9,
                is_complete=draw(st.integers(0, 5)) > 0,
                is_pinned=draw(st.integers(0, 9)) == 0,
                tags=draw(st.sampled_from(({}, {}, {"why": "upgrade"}, {"why": "test", "who": "me"}))),
                is_far_fewer=draw(st.integers(0, 7)) == 0,
            )
        )
    return made


zones = st.sampled_from(ZONES)


def ids(found: list[DatedSnapshot]) -> set[str]:
    return {one.id for one in found}


def is_past(one: DatedSnapshot) -> bool:
    return max(one.time_ns, one.made_ns) <= NOW_NS


def everywhere(faults: Faults, check: Callable[..., None], **more: st.SearchStrategy[Any]) -> None:
    """Hold a check against histories: 200 of them, 10,000 at full size; of the seed that is shown."""
    count = 10_000 if faults.is_full else 200
    drawn = given(policy=policies(), history=histories(), zone=zones, **more)(check)
    seeded = seed(faults.seed)(drawn)
    settings(max_examples=count, database=None, suppress_health_check=[*HealthCheck])(seeded)()


def test_what_holds_of_every_plan(faults: Faults) -> None:
    """The newest stays, a second look or a wider policy drops nothing more, clocks and stopped runs push out none."""

    def check(policy: RetentionText, history: list[DatedSnapshot], zone: ZoneInfo, more: dict[str, Any]) -> None:
        found = plan(policy, history, NOW, zone)
        _check_all_are_told(found, history)
        _check_newest_stays(found, history)
        _check_future_pushes_out_none(found, plan(policy, [one for one in history if is_past(one)], NOW, zone))
        # Incomplete ones count for nothing.
        assert found == plan(policy, [one for one in history if one.is_complete], NOW, zone)
        # Who applies the plan twice loses nothing that it had kept.
        assert plan(policy, found.kept, NOW, zone).dropped == []
        for wider in _wider(policy, more):
            assert ids(found.kept) <= ids(plan(wider, history, NOW, zone).kept)

    everywhere(faults, check, more=rule_texts)


def _wider(policy: RetentionText, more: dict[str, Any]) -> list[RetentionText]:
    """The same with one rule more, and with one count more each: who adds `yearly: 7` counts on all that was kept."""
    (rule,) = msgspec.convert({"rules": [more]}, RetentionText).rules
    return [msgspec.structs.replace(policy, rules=[*policy.rules, rule]), *_larger(policy)]


def _larger(policy: RetentionText) -> list[RetentionText]:
    """The same with one count more each."""
    found = [
        msgspec.structs.replace(policy, **{name: getattr(policy, name) + 1})
        for name in ("days", "jobs")
        if getattr(policy, name) is not None
    ]
    for at, rule in enumerate(policy.rules):
        for name in ("daily", "weekly", "monthly", "quarterly", "yearly", "count"):
            if getattr(rule, name) is not None:
                larger = msgspec.structs.replace(rule, **{name: getattr(rule, name) + 1})
                rules = [*policy.rules[:at], larger, *policy.rules[at + 1 :]]
                found.append(msgspec.structs.replace(policy, rules=rules))
    return found


def _check_all_are_told(found: RetentionPlan, history: list[DatedSnapshot]) -> None:
    """A snapshot that is forgotten is neither shown nor ever goes; one without a reason can't be disputed."""
    complete = sorted((one for one in history if one.is_complete), key=lambda one: (one.time_ns, one.id))
    assert [one.snapshot for one in found.verdicts] == complete
    assert all(one.reasons for one in found.verdicts)
    assert ids(found.kept).isdisjoint(ids(found.dropped))


def _check_newest_stays(found: RetentionPlan, history: list[DatedSnapshot]) -> None:
    """Without it there is no backup, whatever the policy said; a pin is a promise."""
    past = [one for one in history if one.is_complete and is_past(one)]
    if past:
        assert max(past, key=lambda one: (one.time_ns, one.id)).id in ids(found.kept)
    assert {one.id for one in history if one.is_complete and one.is_pinned} <= ids(found.kept)


def _check_future_pushes_out_none(found: RetentionPlan, alone: RetentionPlan) -> None:
    """A clock that was ten years ahead for one night must not cost the good snapshots their places.

    alone: the plan without those of the future.
    """
    assert ids(found.dropped) == ids(alone.dropped)
    assert ids(alone.kept) <= ids(found.kept)


@pytest.mark.parametrize(
    "text",
    [
        {"weekly": 1, "when": "sat,wed"},
        {"monthly": 1, "when": 31},
        {"monthly": 1, "when": "last-fri"},
        {"quarterly": 1, "when": "feb,may,aug,nov/30"},
        {"yearly": 1, "when": "feb/29"},
        {"yearly": 1, "when": "w53/sun"},
        {"yearly": 1, "when": "w1/mon"},
    ],
    ids=str,
)
def test_periods_have_no_gaps(text: dict[str, Any]) -> None:
    """Each day lies in the period of the next mark: a snapshot in a gap would be kept by no rule."""
    (rule,) = check_policy(msgspec.convert({"rules": [text]}, RetentionText)).rules
    marks = marks_of(rule)
    before = marks.next_mark(date(2000, 1, 1))
    for number in range(30 * 365):
        day = date(2000, 1, 1) + timedelta(days=number)
        mark = marks.next_mark(day)
        assert mark is not None
        assert before is not None
        assert mark >= day
        assert mark == before or day == before + timedelta(days=1)
        assert marks.next_mark(mark) == mark
        before = mark
