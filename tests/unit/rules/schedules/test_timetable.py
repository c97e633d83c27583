"""The moments at which schedules are due, through changes of the clocks: golden times (docs/schedules.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.model.schedules import ScheduleText
from backupd.rules.schedules.coming import coming, fitting_interval, jitter_of, longest_gap
from backupd.rules.schedules.reading import Schedule, schedule_of

SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""When clocks in Berlin change, at 01:00 UTC: 02:00 becomes 03:00, 03:00 becomes 02:00."""


def schedule(**words: str) -> Schedule:
    return schedule_of(ScheduleText(name="one", **words))  # type: ignore[arg-type]


def times(found: Schedule, start: str, zone: str, count: int) -> list[str]:
    """Its next times from a moment of the zone on, as the zone's clocks show them, with the offset."""
    where = ZoneInfo(zone)
    moments = coming([found], datetime.fromisoformat(start).replace(tzinfo=where), where)
    return [due.astimezone(where).strftime("%m-%d %H:%M %z") for due, _ in islice(moments, count)]


@pytest.mark.parametrize(
    ("words", "start", "zone", "expected"),
    [
        # A time of day that the clocks skip is due when they do; one that they repeat, the first time.
        ({"daily": "02:30"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "03-30 02:30 +0200"]),
        ({"daily": "02:00"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "03-30 02:00 +0200"]),
        ({"daily": "03:00"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "03-30 03:00 +0200"]),
        ({"daily": "02:30"}, f"{AUTUMN}T00:00", "Europe/Berlin", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        ({"weekly": "sun@02:30"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "04-05 02:30 +0200"]),
        ({"weekly": "sun,sat@23:00"}, "2026-11-27T12:00", "Europe/Berlin", ["11-28 23:00 +0100", "11-29 23:00 +0100"]),
        ({"monthly": "last-sun@02:30"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "04-26 02:30 +0200"]),
        ({"cron": "30 2 * * *"}, f"{SPRING}T00:00", "Europe/Berlin", ["03-29 03:00 +0200", "03-30 02:30 +0200"]),
        ({"cron": "30 2 * * *"}, f"{AUTUMN}T00:00", "Europe/Berlin", ["10-25 02:30 +0200", "10-26 02:30 +0100"]),
        # Hours count from midnight by the clock on the wall: each once.
        (
            {"every": "2h"},
            f"{SPRING}T00:00",
            "Europe/Berlin",
            ["03-29 03:00 +0200", "03-29 04:00 +0200", "03-29 06:00 +0200"],
        ),
        (
            {"every": "2h"},
            f"{AUTUMN}T00:00",
            "Europe/Berlin",
            ["10-25 02:00 +0200", "10-25 04:00 +0100", "10-25 06:00 +0100"],
        ),
        # An hour and less go by the time that passes.
        ({"every": "1h"}, f"{SPRING}T00:30", "Europe/Berlin", ["03-29 01:00 +0100", "03-29 03:00 +0200"]),
        (
            {"every": "1h"},
            f"{AUTUMN}T01:30",
            "Europe/Berlin",
            ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"],
        ),
        (
            {"every": "30m"},
            f"{AUTUMN}T02:10",
            "Europe/Berlin",
            ["10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"],
        ),
        (
            {"cron": "*/30 * * * *"},
            f"{AUTUMN}T02:10",
            "Europe/Berlin",
            ["10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"],
        ),
        ({"cron": "15 * * * *"}, f"{SPRING}T01:20", "Europe/Berlin", ["03-29 03:15 +0200", "03-29 04:15 +0200"]),
        # Half an hour, over midnight, elsewhere.
        ({"daily": "02:15"}, "2026-10-04T00:00", "Australia/Lord_Howe", ["10-04 02:30 +1100", "10-05 02:15 +1100"]),
        ({"daily": "00:30"}, "2026-04-23T12:00", "Africa/Cairo", ["04-24 01:00 +0300", "04-25 00:30 +0300"]),
        ({"every": "4h"}, "2026-04-23T21:00", "Africa/Cairo", ["04-24 01:00 +0300", "04-24 04:00 +0300"]),
        # A day that a month lacks is its last.
        (
            {"monthly": "31@04:00"},
            "2027-01-01T00:00",
            "UTC",
            ["01-31 04:00 +0000", "02-28 04:00 +0000", "03-31 04:00 +0000", "04-30 04:00 +0000"],
        ),
        ({"monthly": "29@04:00"}, "2028-02-01T00:00", "UTC", ["02-29 04:00 +0000", "03-29 04:00 +0000"]),
        ({"monthly": "last@23:59"}, "2027-02-01T00:00", "UTC", ["02-28 23:59 +0000", "03-31 23:59 +0000"]),
        ({"monthly": "fourth-fri@04:00"}, "2027-02-01T00:00", "UTC", ["02-26 04:00 +0000", "03-26 04:00 +0000"]),
        # Cron lacks them.
        ({"cron": "0 4 31 * *"}, "2027-01-01T00:00", "UTC", ["01-31 04:00 +0000", "03-31 04:00 +0000"]),
        ({"cron": "0 4 13 * fri"}, "2026-11-01T00:00", "UTC", ["11-06 04:00 +0000", "11-13 04:00 +0000"]),
        ({"every": "15m", "days": "mon"}, "2026-11-30T23:40", "UTC", ["11-30 23:45 +0000", "12-07 00:00 +0000"]),
        ({"every": "12h", "days": "sat"}, "2026-11-28T01:00", "UTC", ["11-28 12:00 +0000", "12-05 00:00 +0000"]),
        ({"once": "2026-12-24@18:00"}, "2026-11-01T00:00", "Europe/Berlin", ["12-24 18:00 +0100"]),
        ({"once": "2026-12-24@18:00"}, "2026-12-24T18:00", "Europe/Berlin", []),
    ],
)
def test_next_times(words: dict[str, str], start: str, zone: str, expected: list[str]) -> None:
    """Else a night's run is left out, or made twice, when clocks change."""
    assert times(schedule(**words), start, zone, len(expected) or 1) == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("words", [{"daily": "02:30"}, {"daily": "00:00"}, {"cron": "59 23 * * *"}, {"every": "12h"}])
def test_each_day_has_its_runs_for_years(zone: str, words: dict[str, str]) -> None:
    """Over three years of clock changes no day is left out, and none comes twice."""
    where = ZoneInfo(zone)
    start = datetime(2026, 1, 1, tzinfo=where) - timedelta(seconds=1)
    a_day = 2 if "every" in words else 1
    found = [due for due, _ in islice(coming([schedule(**words)], start, where), 365 * 3 * a_day)]
    days = [due.astimezone(where).date() for due in found]
    assert sorted(set(days)) == [days[0] + timedelta(days=n) for n in range(365 * 3)]
    assert {days.count(day) for day in set(days)} == {a_day}
    assert all(one < other for one, other in pairwise(found))


_KINDS = [
    {"daily": "02:30"},
    {"every": "20m"},
    {"every": "6h"},
    {"weekly": "sun@02:00"},
    {"monthly": "last-sun@01:30"},
    {"cron": "*/7 1-3 * * sun"},
    {"cron": "*/20 * * * *"},
]


@given(
    words=st.sampled_from(_KINDS),
    seconds=st.integers(0, 3 * 365 * 86400),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_next_is_after_and_nothing_lies_between(words: dict[str, str], seconds: int, zone: str) -> None:
    """From whatever moment one looks, the same moments come: so a restart changes nothing."""
    found, where = schedule(**words), ZoneInfo(zone)
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    due = found.timetable.next_after(moment, where)
    assert due is not None
    assert due > moment
    assert found.timetable.next_after(due - timedelta(seconds=1), where) == due
    middle = moment + (due - moment) / 2
    assert found.timetable.next_after(middle, where) == due


def test_intervals_of_schedules() -> None:
    """What a set's age is held against when it says nothing: two of them."""
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 20, tzinfo=UTC)
    gaps = {
        "daily": longest_gap([schedule(daily="02:30")], start, zone),
        "twice": longest_gap([schedule(daily="02:30"), schedule(daily="14:30")], start, zone),
        "weekend": longest_gap([schedule(weekly="sat,sun@03:00")], start, zone),
        "once": longest_gap([schedule(once="2026-12-24@18:00")], start, zone),
    }
    hours = {name: gap.total_seconds() / 3600 if gap is not None else None for name, gap in gaps.items()}
    assert hours == {"daily": 24, "twice": 12, "weekend": 6 * 24, "once": None}


@pytest.mark.parametrize(
    "start",
    [
        "2026-11-28T23:00",
        pytest.param("2026-11-23T09:00", marks=pytest.mark.nightly),
        pytest.param("2026-11-25T13:00", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize(
    ("words", "least", "most"),
    [
        # From Friday, 23:45, to Monday.
        ({"every": "15m", "days": "mon,tue,wed,thu,fri"}, 48.25, 49.25),
        ({"every": "1h", "days": "mon,tue,wed,thu,fri"}, 49, 50),
        ({"cron": "*/10 8-17 * * mon-fri"}, 62, 63.5),
        # What is due while its window is shut begins when that opens.
        ({"every": "1h", "window": "08:00-18:00"}, 15, 16),
        ({"every": "15m"}, 0.25, 0.25),
    ],
)
def test_nights_and_weekends_are_no_missed_intervals(
    start: str, words: dict[str, str], least: float, most: float
) -> None:
    """Else a set that works in office hours is overdue each evening, and mail says so."""
    zone = ZoneInfo("Europe/Berlin")
    gap = longest_gap([schedule(**words)], datetime.fromisoformat(start).replace(tzinfo=zone), zone)
    assert gap is not None
    assert least <= gap.total_seconds() / 3600 <= most


def test_the_interval_that_would_have_fitted() -> None:
    assert [fitting_interval(seconds) for seconds in (40, 61, 1000, 1801, 9 * 3600, 13 * 3600)] == [
        "1m", "2m", "20m", "1h", "12h", None,
    ]  # fmt: skip


def test_jitter_is_by_chance_but_the_same_after_a_restart() -> None:
    """Else all hosts begin at one moment, or a run begins twice when the daemon restarts within it."""
    found = schedule(daily="02:00", jitter="30m")
    due = datetime(2026, 11, 27, 2, tzinfo=UTC)
    drawn = {jitter_of(found, f"b{host}", due) for host in range(50)}
    assert len(drawn) > 40
    assert all(timedelta(0) <= one < timedelta(minutes=30) for one in drawn)
    assert jitter_of(found, "b1", due) == jitter_of(found, "b1", due)
    assert len({jitter_of(found, "b1", due + timedelta(days=day)) for day in range(20)}) > 10
