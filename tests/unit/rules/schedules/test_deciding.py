"""What is begun, made up for or told as missed when machines sleep, clocks step and daemons are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backupd.model.schedules import ScheduleText
from backupd.rules.schedules.coming import jitter_of
from backupd.rules.schedules.deciding import MOST_COUNTED, Due, decide, next_begin, rebased
from backupd.rules.schedules.reading import Schedule, schedule_of

ZONE = ZoneInfo("Europe/Berlin")


def schedule(**words: str) -> Schedule:
    return schedule_of(ScheduleText(name="one", **words))  # type: ignore[arg-type]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


def decided(found: Schedule, handled: str, now: str) -> Due | None:
    return decide(found, "b1", at(handled), at(now), ZONE)


DAILY, QUARTER = {"daily": "02:00"}, {"every": "15m"}


@pytest.mark.parametrize(
    ("words", "handled", "now", "expected"),
    [
        # Nothing is due yet.
        (DAILY, "2026-11-26T02:00", "2026-11-27T01:59", None),
        # On time, and a little later.
        (DAILY, "2026-11-26T02:00", "2026-11-27T02:00", ("2026-11-27T02:00", 1, False)),
        (DAILY, "2026-11-26T02:00", "2026-11-27T02:04", ("2026-11-27T02:00", 1, False)),
        # The machine slept: one run is late, and stands for those before it.
        (DAILY, "2026-11-26T02:00", "2026-11-27T08:00", ("2026-11-27T02:00", 1, True)),
        (DAILY, "2026-11-24T02:00", "2026-11-27T08:00", ("2026-11-27T02:00", 3, True)),
        (QUARTER, "2026-11-24T08:00", "2026-11-27T08:02", ("2026-11-27T08:00", 288, False)),
        (QUARTER, "2025-11-24T08:00", "2026-11-27T08:02", ("2026-11-27T08:00", MOST_COUNTED, False)),
        # Over both changes of the clocks.
        (DAILY, "2026-03-28T02:00", "2026-03-29T03:00", ("2026-03-29T03:00", 1, False)),
        (DAILY, "2026-03-29T03:00", "2026-03-30T01:59", None),
        (DAILY, "2026-10-25T02:00", "2026-10-25T02:59", None),
        # One day alone, slept through.
        ({"once": "2026-12-24@18:00"}, "2026-11-01T00:00", "2027-02-01T09:00", ("2026-12-24T18:00", 1, True)),
        ({"once": "2026-12-24@18:00"}, "2026-12-24T18:00", "2027-02-01T09:00", None),
        # The clock shows an earlier time than what is decided.
        (DAILY, "2026-11-27T02:00", "2026-11-27T01:30", None),
    ],
)
def test_what_is_due(words: dict[str, str], handled: str, now: str, expected: tuple[str, int, bool] | None) -> None:
    due = decided(schedule(**words), handled, now)
    found = (due.at.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M"), due.count, due.is_late) if due else None
    assert found == expected


@pytest.mark.parametrize(
    ("missed", "handled", "now", "begins", "count"),
    [
        ("run", "2026-11-24T02:00", "2026-11-27T08:00", True, 0),
        ("skip", "2026-11-24T02:00", "2026-11-27T08:00", False, 3),
        ("skip", "2026-11-24T02:00", "2026-11-27T02:01", True, 2),
        ("skip", "2026-11-26T02:00", "2026-11-27T02:01", True, 0),
        ("run", "2026-11-26T02:00", "2026-11-27T02:01", True, 0),
    ],
)
def test_what_is_made_up_for(missed: str, handled: str, now: str, begins: bool, count: int) -> None:
    """One run for all that was slept through, or none, and then it is told."""
    found = schedule(daily="02:00", missed=missed)
    due = decided(found, handled, now)
    assert due is not None
    assert (due.begins(found), due.missed_count(found)) == (begins, count)


def test_a_run_is_decided_once() -> None:
    """Whatever moment one looks at, what was due up to the last decision never comes again."""
    found = schedule(every="15m", jitter="10m")
    handled = now = at("2026-10-24T23:00")
    begun: list[datetime] = []
    while now < at("2026-10-25T06:00"):
        now += timedelta(minutes=1)
        due = decide(found, "b1", handled, now, ZONE)
        if due is not None:
            assert due.at + jitter_of(found, "b1", due.at) <= now
            begun.append(due.at)
            handled = due.at
    # An hour longer than by the clock on the wall. The last may wait for its chance still.
    assert len(begun) in (8 * 4 - 1, 8 * 4)
    assert len(set(begun)) == len(begun)


def test_jitter_delays_the_beginning_alone() -> None:
    found = schedule(daily="02:00", jitter="1h")
    handled = at("2026-11-26T02:00")
    begins = next_begin(found, "b1", handled, ZONE)
    assert begins is not None
    assert at("2026-11-27T02:00") < begins < at("2026-11-27T03:00")
    assert decide(found, "b1", handled, begins - timedelta(seconds=1), ZONE) is None
    due = decide(found, "b1", handled, begins, ZONE)
    assert due is not None
    assert due.at == at("2026-11-27T02:00")
    assert not due.is_late


@pytest.mark.parametrize(
    ("back", "gap", "is_rebased"),
    [
        (timedelta(minutes=59), timedelta(minutes=15), False),
        (timedelta(hours=3), timedelta(minutes=15), True),
        (timedelta(hours=3), timedelta(days=1), False),
        (timedelta(hours=25), timedelta(days=1), True),
        (timedelta(days=3), timedelta(days=7), False),
        (timedelta(days=365), timedelta(days=31), True),
        (timedelta(days=365), None, True),
    ],
)
def test_a_clock_that_is_set_back(back: timedelta, gap: timedelta | None, is_rebased: bool) -> None:
    """A little: what ran does not run again. By much: else nothing would run until that time comes again."""
    handled = at("2026-11-27T02:00")
    assert (rebased(handled, handled - back, gap) != handled) is is_rebased
    assert rebased(handled, handled + back, gap) == handled
