"""Which snapshots a policy keeps: golden cases. A wrong one is a version that a user finds gone, or a full disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest

from backupd.clock import to_datetime
from backupd.model.retention import RetentionText
from backupd.rules.retention.checking import check_policy
from backupd.rules.retention.planning import DatedSnapshot, RetentionPlan, plan

VIENNA = ZoneInfo("Europe/Vienna")
APIA = ZoneInfo("Pacific/Apia")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def policy(**fields: Any) -> RetentionText:
    """A policy as it is written."""
    return check_policy(msgspec.convert(fields, RetentionText))


def rules(*written: dict[str, Any]) -> RetentionText:
    """An advanced one."""
    return policy(rules=[*written])


def nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def at(text: str, zone: ZoneInfo = VIENNA) -> datetime:
    """A moment by the clock on the wall, at two in the night where only a day is given; `+`: the second such."""
    words = text if "T" in text else f"{text}T02:00"
    return datetime.fromisoformat(words.rstrip("+")).replace(tzinfo=zone, fold=int(words.endswith("+")))


def snapshot(text: str, zone: ZoneInfo = VIENNA) -> DatedSnapshot:
    """`2026-11-20 partial pinned why=upgrade`: its id is its moment."""
    when, *words = text.split()
    time_ns = nanoseconds(at(when, zone))
    return DatedSnapshot(
        id=when,
        time_ns=time_ns,
        made_ns=time_ns + 60 * 10**9,
        is_complete="partial" not in words,
        is_pinned="pinned" in words,
        tags=dict(word.split("=") for word in words if "=" in word),
        is_far_fewer="fewer" in words,
    )


def planned(given: RetentionText, texts: str, now: str, zone: ZoneInfo = VIENNA) -> RetentionPlan:
    found = [snapshot(text.strip(), zone) for text in texts.split(",")] if texts else []
    return plan(given, found, at(now, zone), zone)


def kept(given: RetentionText, texts: str, now: str, zone: ZoneInfo = VIENNA) -> list[str]:
    return [one.id for one in planned(given, texts, now, zone).kept]


class Case(NamedTuple):
    """texts: the snapshots there are, by comma. stays: those that are kept, in order."""

    name: str
    policy: RetentionText
    texts: str
    now: str
    stays: str


WEEK = "2026-11-14, 2026-11-15, 2026-11-16, 2026-11-17, 2026-11-18, 2026-11-19, 2026-11-20, 2026-11-21"
SATURDAYS = "2026-10-24, 2026-10-31, 2026-11-07, 2026-11-14, 2026-11-21"
WEDNESDAY_NOON = "2026-11-25T12:00"

CASES = [
    Case("nothing there", policy(days=7), "", WEDNESDAY_NOON, ""),
    Case("the only one stays", policy(days=1), "2020-01-01", WEDNESDAY_NOON, "2020-01-01"),
    Case("keep all", policy(keep="all"), "2001-01-01, 2010-01-01, 2026-11-24", WEDNESDAY_NOON,
         "2001-01-01, 2010-01-01, 2026-11-24"),
    # Simple: days
    Case("days count from the next one, not from itself", policy(days=7), "2026-01-01, 2026-11-20, 2026-11-24",
         WEDNESDAY_NOON, "2026-01-01, 2026-11-20, 2026-11-24"),
    Case("its days are over", policy(days=7), "2026-01-01, 2026-11-18, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-18, 2026-11-24"),
    Case("to the minute: not yet over", policy(days=7), "2026-11-01, 2026-11-18T11:59:01, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-01, 2026-11-18T11:59:01, 2026-11-24"),
    Case("to the minute: over", policy(days=7), "2026-11-01, 2026-11-18T11:59, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-18T11:59, 2026-11-24"),
    Case("no runs for years: the newest stays", policy(days=7), "2019-01-01, 2019-01-02, 2019-01-03", WEDNESDAY_NOON,
         "2019-01-03"),
    Case("one day, runs each hour", policy(days=1),
         "2026-11-24T10:00, 2026-11-24T11:00, 2026-11-24T12:00, 2026-11-25T11:00",
         WEDNESDAY_NOON, "2026-11-24T11:00, 2026-11-24T12:00, 2026-11-25T11:00"),
    Case("365 days", policy(days=365), "2024-01-01, 2025-11-24, 2025-11-26, 2026-11-24", WEDNESDAY_NOON,
         "2025-11-24, 2025-11-26, 2026-11-24"),
    Case("a day of 25 hours is 24 hours here", policy(days=1), "2026-10-23T12:00, 2026-10-24T12:00, 2026-10-25T10:00",
         "2026-10-25T11:01", "2026-10-24T12:00, 2026-10-25T10:00"),
    Case("an incomplete one makes no former state", policy(days=7),
         "2026-01-01, 2026-11-01 partial, 2026-11-24", WEDNESDAY_NOON, "2026-01-01, 2026-11-24"),
    # Simple: jobs
    Case("jobs: so many stay", policy(jobs=3), WEEK, WEDNESDAY_NOON, "2026-11-19, 2026-11-20, 2026-11-21"),
    Case("one job", policy(jobs=1), WEEK, WEDNESDAY_NOON, "2026-11-21"),
    Case("fewer than jobs", policy(jobs=30), WEEK, WEDNESDAY_NOON, WEEK),
    Case("incomplete ones are no jobs", policy(jobs=2),
         "2026-11-18, 2026-11-19, 2026-11-20 partial, 2026-11-21 partial",
         WEDNESDAY_NOON, "2026-11-18, 2026-11-19"),
    Case("days and jobs join", policy(days=7, jobs=2), "2026-01-01, 2026-01-02, 2026-01-03, 2026-01-04", WEDNESDAY_NOON,
         "2026-01-03, 2026-01-04"),
    # Clocks that went wrong
    Case("one of the future is no former state's end", policy(days=7), "2026-11-01, 2026-11-10, 2031-01-01",
         WEDNESDAY_NOON, "2026-11-10, 2031-01-01"),
    Case("the newest is the newest of the past", policy(jobs=1), "2026-11-01, 2026-11-10, 2031-01-01, 2031-01-02",
         WEDNESDAY_NOON, "2026-11-10, 2031-01-01, 2031-01-02"),
    Case("all of the future", policy(jobs=1), "2031-01-01, 2031-01-02", WEDNESDAY_NOON, "2031-01-01, 2031-01-02"),
    Case("no slot is taken by the future", rules({"weekly": 1}), "2026-11-14, 2026-11-21, 2026-11-24, 2026-11-28",
         WEDNESDAY_NOON, "2026-11-21, 2026-11-24, 2026-11-28"),
    # Daily
    Case("daily: the last of each day", rules({"daily": 2}),
         "2026-11-23T01:00, 2026-11-24T01:00, 2026-11-24T23:00, 2026-11-25T01:00, 2026-11-25T11:00", WEDNESDAY_NOON,
         "2026-11-24T23:00, 2026-11-25T11:00"),
    Case("daily: a day without a run does not count", rules({"daily": 3}),
         "2026-11-01, 2026-11-02, 2026-11-20, 2026-11-25",
         WEDNESDAY_NOON, "2026-11-02, 2026-11-20, 2026-11-25"),
    Case("daily: midnight is the zone's", rules({"daily": 2}),
         "2026-11-23T23:59, 2026-11-24T00:00, 2026-11-24T23:59, 2026-11-25T00:00", WEDNESDAY_NOON,
         "2026-11-24T23:59, 2026-11-25T00:00"),
    Case("daily: an hour that comes twice", rules({"daily": 1}), "2026-10-25T02:30, 2026-10-25T02:30+",
         "2026-10-26T12:00", "2026-10-25T02:30+"),
    Case("daily: an hour that is skipped", rules({"daily": 1}), "2026-03-28T23:30, 2026-03-29T02:30, 2026-03-29T03:10",
         "2026-03-29T12:00", "2026-03-29T02:30"),
    # Weekly
    Case("weekly: four Saturdays", rules({"weekly": 4, "when": "sat"}), f"{SATURDAYS}, 2026-11-25", WEDNESDAY_NOON,
         "2026-10-31, 2026-11-07, 2026-11-14, 2026-11-21, 2026-11-25"),
    Case("weekly: Saturday where it names none", rules({"weekly": 1}), f"{SATURDAYS}, 2026-11-25", WEDNESDAY_NOON,
         "2026-11-21, 2026-11-25"),
    Case("weekly: as of Saturday, made on Thursday", rules({"weekly": 2}),
         "2026-11-12, 2026-11-18, 2026-11-19, 2026-11-23",
         WEDNESDAY_NOON, "2026-11-12, 2026-11-19, 2026-11-23"),
    Case("weekly: this week is not over", rules({"weekly": 2}), "2026-11-22, 2026-11-23, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-24"),
    Case("weekly: what was made on the Saturday before does not stand for this one", rules({"weekly": 2}),
         "2026-11-07, 2026-11-14, 2026-11-22, 2026-11-23", WEDNESDAY_NOON, "2026-11-07, 2026-11-14, 2026-11-23"),
    Case("weekly: on the day itself it counts", rules({"weekly": 1}), "2026-11-14, 2026-11-20, 2026-11-21",
         "2026-11-21T12:00", "2026-11-21"),
    Case("weekly: several days", rules({"weekly": 3, "when": "sun, wed"}),
         "2026-11-15, 2026-11-17, 2026-11-18, 2026-11-19, 2026-11-22, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-18, 2026-11-22, 2026-11-24"),
    # Monthly
    Case("monthly: the 1st", rules({"monthly": 2, "when": 1}),
         "2026-09-01, 2026-10-01, 2026-10-31, 2026-11-01, 2026-11-02, 2026-11-24", WEDNESDAY_NOON,
         "2026-10-01, 2026-11-01, 2026-11-24"),
    Case("monthly: as of the 1st, made the day before", rules({"monthly": 1, "when": "1"}),
         "2026-10-01, 2026-10-31, 2026-11-02, 2026-11-24", WEDNESDAY_NOON, "2026-10-31, 2026-11-24"),
    Case("monthly: day 31 is the last day", rules({"monthly": 9, "when": 31}),
         "2026-01-31, 2026-02-27, 2026-02-28, 2026-03-30, 2026-03-31, 2026-04-30, 2026-05-01",
         WEDNESDAY_NOON, "2026-01-31, 2026-02-28, 2026-03-31, 2026-04-30, 2026-05-01"),
    Case("monthly: day 30 in February", rules({"monthly": 9, "when": 30}),
         "2028-02-28, 2028-02-29, 2028-03-01, 2028-03-30",
         "2028-04-01", "2028-02-29, 2028-03-30"),
    Case("monthly: last is 31", rules({"monthly": 9, "when": "last"}), "2026-02-27, 2026-02-28, 2026-03-31",
         WEDNESDAY_NOON,
         "2026-02-28, 2026-03-31"),
    Case("monthly: the last Friday", rules({"monthly": 2, "when": "last-fri"}),
         "2026-09-25, 2026-10-23, 2026-10-30, 2026-11-20, 2026-11-24", WEDNESDAY_NOON,
         "2026-09-25, 2026-10-30, 2026-11-24"),
    Case("monthly: the first Monday", rules({"monthly": 1, "when": "first-mon"}),
         "2026-10-31, 2026-11-01, 2026-11-02, 2026-11-03", WEDNESDAY_NOON, "2026-11-02, 2026-11-03"),
    # Quarterly
    Case("quarterly: its months where it names none", rules({"quarterly": 2}),
         "2026-03-31, 2026-04-01, 2026-06-30, 2026-07-01, 2026-10-01, 2026-11-24", WEDNESDAY_NOON,
         "2026-07-01, 2026-10-01, 2026-11-24"),
    Case("quarterly: a fiscal year's", rules({"quarterly": 4, "when": "feb,may,aug,nov/last"}),
         "2026-02-28, 2026-05-31, 2026-08-31, 2026-11-24", WEDNESDAY_NOON,
         "2026-02-28, 2026-05-31, 2026-08-31, 2026-11-24"),
    Case("quarterly: as of October, made in August", rules({"quarterly": 1}), "2026-08-01, 2026-08-15, 2026-11-24",
         WEDNESDAY_NOON, "2026-08-15, 2026-11-24"),
    # Yearly
    Case("yearly: new year", rules({"yearly": 2}), "2024-01-01, 2025-01-01, 2025-12-31, 2026-01-02, 2026-11-24",
         WEDNESDAY_NOON, "2025-01-01, 2025-12-31, 2026-11-24"),
    Case("yearly: 29 February", rules({"yearly": 3, "when": "feb/29"}),
         "2026-02-28, 2027-02-28, 2028-02-28, 2028-02-29",
         "2028-03-01", "2026-02-28, 2027-02-28, 2028-02-29"),
    Case("yearly: the last Friday of June", rules({"yearly": 1, "when": "jun/last-fri"}),
         "2026-06-19, 2026-06-26, 2026-06-27", WEDNESDAY_NOON, "2026-06-26, 2026-06-27"),
    Case("yearly: week 1 may begin in December", rules({"yearly": 2, "when": "w1/mon"}),
         "2024-12-29, 2024-12-30, 2024-12-31, 2025-12-29, 2025-12-30", "2026-01-05",
         "2024-12-30, 2025-12-29, 2025-12-30"),
    Case("yearly: week 53 is the last one", rules({"yearly": 3, "when": "w53/sun"}),
         "2025-12-28, 2027-01-03, 2028-01-02, 2028-01-03", "2028-02-01",
         "2025-12-28, 2027-01-03, 2028-01-02, 2028-01-03"),
    # Dates
    Case("dates: as of each, however old", rules({"dates": [date(2026, 6, 30), date(2026, 12, 24)]}),
         "2025-01-01, 2025-02-01, 2026-07-01, 2026-11-24", WEDNESDAY_NOON, "2025-02-01, 2026-11-24"),
    Case("dates: the newest of them", rules({"dates": [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)],
         "count": 1}),
         "2026-01-01, 2026-02-01, 2026-03-01, 2026-11-24", WEDNESDAY_NOON, "2026-03-01, 2026-11-24"),
    Case("dates: not yet", rules({"dates": [date(2030, 1, 1)]}), "2026-01-01, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-24"),
    # Joined
    Case("two of a kind", rules({"weekly": 1, "when": "sat"}, {"weekly": 2, "when": "tue"}),
         "2026-11-10, 2026-11-17, 2026-11-21, 2026-11-22, 2026-11-25T01:00", WEDNESDAY_NOON,
         "2026-11-17, 2026-11-21, 2026-11-22, 2026-11-25T01:00"),
    Case("a day that has come counts before its run", rules({"weekly": 2, "when": "wed"}),
         "2026-11-11, 2026-11-18, 2026-11-24", WEDNESDAY_NOON, "2026-11-18, 2026-11-24"),
    Case("rules and days", policy(days=2, rules=[{"monthly": 1}]),
         "2026-10-31, 2026-11-01, 2026-11-20, 2026-11-23T14:00, 2026-11-24",
         WEDNESDAY_NOON, "2026-11-01, 2026-11-20, 2026-11-23T14:00, 2026-11-24"),
    # Pins and tags
    Case("pinned", policy(days=7), "2020-01-01 pinned, 2020-02-01, 2020-03-01, 2026-11-24", WEDNESDAY_NOON,
         "2020-01-01, 2020-03-01, 2026-11-24"),
    Case("far fewer files, and what was before them", policy(jobs=1),
         "2026-11-01, 2026-11-02, 2026-11-03 fewer, 2026-11-04, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-02, 2026-11-03, 2026-11-24"),
    Case("of two months ago, long seen", policy(jobs=1), "2026-09-02, 2026-09-03 fewer, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-24"),
    Case("fewer each day", policy(jobs=1), "2026-11-01, 2026-11-02, 2026-11-03 fewer, 2026-11-04 fewer, 2026-11-24",
         WEDNESDAY_NOON, "2026-11-02, 2026-11-03, 2026-11-04, 2026-11-24"),
    Case("the first of all has nothing before it", policy(jobs=1), "2026-11-23 fewer, 2026-11-24", WEDNESDAY_NOON,
         "2026-11-24"),
    Case("a pinned incomplete one is no business of this", policy(days=7), "2020-01-01 partial pinned, 2026-11-24",
         WEDNESDAY_NOON, "2026-11-24"),
    Case("a tag of that value", policy(jobs=1, keep_tags=["why=upgrade"]),
         "2020-01-01 why=upgrade, 2020-02-01 why=test, 2026-11-24", WEDNESDAY_NOON, "2020-01-01, 2026-11-24"),
    Case("a tag of any value", policy(jobs=1, keep_tags=["why"]),
         "2020-01-01 why=upgrade, 2020-02-01 why=test, 2020-02-02 who=me, 2026-11-24", WEDNESDAY_NOON,
         "2020-01-01, 2020-02-01, 2026-11-24"),
    Case("a pinned one still takes its place among jobs", policy(jobs=2), "2026-11-20, 2026-11-21 pinned, 2026-11-22",
         WEDNESDAY_NOON, "2026-11-21, 2026-11-22"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_stays(case: Case) -> None:
    """A user who wrote that policy counts on just these."""
    assert kept(case.policy, case.texts, case.now) == [word.strip() for word in case.stays.split(",") if word]
    assert planned(case.policy, case.texts, case.now).verdicts == sorted(
        planned(case.policy, case.texts, case.now).verdicts, key=lambda verdict: verdict.snapshot.time_ns
    )


def test_there_are_golden_cases_enough() -> None:
    """Issue 6 asks for forty; a name stands for one case."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40


def test_days_are_those_of_the_sets_zone() -> None:
    """At half past midnight in Vienna it is still yesterday in UTC: the wrong day's snapshot would stay."""
    one, other = "2026-11-24T23:30", "2026-11-25T00:30"
    assert kept(rules({"daily": 2}), f"{one}, {other}", WEDNESDAY_NOON) == [one, other]
    found = [snapshot(one), snapshot(other)]
    assert [k.id for k in plan(rules({"daily": 2}), found, at(WEDNESDAY_NOON), ZoneInfo("UTC")).kept] == [other]


def test_a_day_that_a_zone_skipped_has_what_was_before_it() -> None:
    """Samoa had no 30 December 2011: the Friday's snapshot is Thursday's."""
    texts = "2011-12-28, 2011-12-29, 2011-12-31, 2012-01-02"
    found = planned(rules({"weekly": 1, "when": "fri"}), texts, "2012-01-03T12:00", APIA)
    assert [one.id for one in found.kept] == ["2011-12-29", "2012-01-02"]


def test_reasons_say_which_rule_and_which_of_how_many() -> None:
    """Who wonders why the disk is full, or a version gone, reads these."""
    weekly, yearly = {"weekly": 4, "when": "sat"}, {"name": "new year", "yearly": 1}
    given = policy(days=3, jobs=2, keep_tags=["why"], rules=[weekly, yearly])
    texts = "2025-12-30, 2026-11-12 pinned, 2026-11-13, 2026-11-20 why=x, 2026-11-23, 2026-11-24, 2030-01-01"
    assert {one.snapshot.id: one.reasons for one in planned(given, texts, WEDNESDAY_NOON).verdicts} == {
        "2025-12-30": ["weekly sat 3/4, as of 2026-01-03", "new year 1/1, as of 2026-01-01"],
        "2026-11-12": ["pinned"],
        "2026-11-13": ["weekly sat 2/4, as of 2026-11-14"],
        "2026-11-20": ["tag why", "days 3: until 2026-11-26", "weekly sat 1/4, as of 2026-11-21"],
        "2026-11-23": ["days 3: until 2026-11-27", "jobs 2: 1 newer"],
        "2026-11-24": ["newest", "jobs 2: 0 newer"],
        "2030-01-01": ["dated in the future"],
    }
    texts = "2026-11-01, 2026-11-20, 2026-11-24"
    dropped = planned(policy(days=3, jobs=1, rules=[{"daily": 1}]), texts, WEDNESDAY_NOON)
    assert [one.reasons for one in dropped.verdicts if not one.is_kept] == [
        ["days 3: over since 2026-11-23", "jobs 1: 2 newer", "no rule keeps it"]
    ]


FIVE = rules(
    {"daily": 7},
    {"weekly": 4, "when": "sat"},
    {"monthly": 3, "when": "1"},
    {"quarterly": 4, "when": "jan,apr,jul,oct/1"},
    {"yearly": 7, "when": "jan/1"},
)


def test_the_five_examples_over_eight_years_of_daily_runs() -> None:
    """Applied after each run, as a set does it: what was dropped in a former year is not there any more."""
    lasts: dict[Callable[[date], bool], deque[date]] = {
        lambda day: True: deque(maxlen=7),
        lambda day: day.isoweekday() == 6: deque(maxlen=4),
        lambda day: day.day == 1: deque(maxlen=3),
        lambda day: day.day == 1 and day.month in (1, 4, 7, 10): deque(maxlen=4),
        lambda day: day.day == 1 and day.month == 1: deque(maxlen=7),
    }
    stands: list[DatedSnapshot] = []
    today = date(2018, 12, 31)
    while today < date(2027, 1, 1):
        today += timedelta(days=1)
        for is_one, last in lasts.items():
            last.extend([today] if is_one(today) else [])
        stands = plan(FIVE, [*stands, snapshot(str(today))], at(f"{today}T04:00"), VIENNA).kept
        days = {to_datetime(one.time_ns).astimezone(VIENNA).date() for one in stands}
        assert days == {day for last in lasts.values() for day in last}, today
    assert len(stands) == 7 + 4 + 3 + 4 + 7 - 4


def test_a_run_that_took_long_does_not_outlive_a_younger_one() -> None:
    """Begun on the 11th, whole on the 21st, while others ran: dropped first, the one before it would go, too."""
    found = [snapshot("2026-11-10"), snapshot("2026-11-11"), snapshot("2026-11-12"), snapshot("2026-11-24")]
    found[1] = msgspec.structs.replace(found[1], made_ns=nanoseconds(at("2026-11-21")))
    kept_first = plan(policy(days=7), found, at(WEDNESDAY_NOON), VIENNA).kept
    assert [one.id for one in kept_first] == [one.id for one in found]
    assert plan(policy(days=7), kept_first, at(WEDNESDAY_NOON), VIENNA).dropped == []


def test_the_newest_of_each_machine_stays() -> None:
    """What was only on the machine that a set belonged to before is in no snapshot of the next one."""
    machines = [("id1", "old"), ("id1", "old"), ("id2", "mid"), ("id1", "new"), ("id3", "new"), ("id4", "last")]
    found = [
        msgspec.structs.replace(snapshot(f"2026-11-0{day}"), host_id=host_id, host=host)
        for day, (host_id, host) in enumerate(machines, start=1)
    ]
    found.append(msgspec.structs.replace(snapshot("2026-11-07 partial"), host_id="id5", host="lone"))
    made = plan(policy(jobs=1), found, at("2026-11-20"), VIENNA)
    kept_for = {one.snapshot.id: one.reasons[0] for one in made.verdicts if one.is_kept}
    # A machine that was renamed, or set up anew under its name, is the same.
    assert kept_for == {"2026-11-03": "newest of mid", "2026-11-05": "newest of new", "2026-11-06": "newest"}
