"""When a periodic check is due: one too few, and damage is found too late; one too many, and nights are lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backupd.rules.periodic_check import is_due, weekday_of

VIENNA, APIA, LOS_ANGELES = ZoneInfo("Europe/Vienna"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/Los_Angeles")
WEDNESDAY = 1594627447932


def test_the_weekday_follows_from_the_id() -> None:
    """The example of the manual that users come with."""
    assert weekday_of(WEDNESDAY) == 2
    assert {weekday_of(number) for number in range(1000)} == {0, 1, 2, 3, 4}


def _at(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text if "T" in text else f"{text}T02:00").replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("last", "now", "is_first", "zone", "expected"),
    [
        # 2026-11-25 is a Wednesday. The day itself: from 7 days on, with its first job.
        ("2026-11-18", "2026-11-25", True, VIENNA, True),
        ("2026-11-18", "2026-11-25", False, VIENNA, False),
        ("2026-11-19", "2026-11-25", True, VIENNA, False),
        ("2026-11-18T23:59", "2026-11-25T00:01", True, VIENNA, True),
        ("2026-11-19T00:00", "2026-11-25T23:59", True, VIENNA, False),
        ("2026-10-01", "2026-11-25", True, VIENNA, True),
        # Any other day: with any job, from 8 days on.
        ("2026-11-19", "2026-11-26", True, VIENNA, False),
        ("2026-11-18", "2026-11-26", True, VIENNA, True),
        ("2026-11-18", "2026-11-26", False, VIENNA, True),
        ("2026-11-18T23:59", "2026-11-26T00:01", False, VIENNA, True),
        ("2026-11-20", "2026-11-28", False, VIENNA, True),
        ("2026-11-21", "2026-11-28", True, VIENNA, False),
        # The same day: never again.
        ("2026-11-25T01:00", "2026-11-25T02:00", True, VIENNA, False),
        # Days are those of the wall, over both clock changes.
        ("2026-10-21T00:30", "2026-10-28T00:30", True, VIENNA, True),
        ("2026-10-21T23:30", "2026-10-28T00:30", True, VIENNA, True),
        ("2026-03-25T23:59", "2026-04-01T00:00", True, VIENNA, True),
        ("2026-03-26T00:00", "2026-04-01T23:59", True, VIENNA, False),
        ("2026-10-25T02:30", "2026-11-01T02:30", True, VIENNA, False),
        # A moment is another day elsewhere, and another weekday.
        ("2026-11-17T23:30", "2026-11-24T23:30", True, LOS_ANGELES, False),
        ("2026-11-18T23:30", "2026-11-25T23:30", True, LOS_ANGELES, True),
        # A day that was left out at the date line (2011-12-30): 2012-01-04 was a Wednesday.
        ("2011-12-28T12:00", "2012-01-04T12:00", True, APIA, True),
        ("2011-12-29T12:00", "2012-01-04T12:00", True, APIA, False),
        # Written by a clock that was wrong.
        ("2030-01-01", "2026-11-26", False, VIENNA, True),
    ],
)
def test_due(last: str, now: str, is_first: bool, zone: ZoneInfo, expected: bool) -> None:
    """Counted from the last check."""
    long_ago = _at("2001-01-01", zone)
    for began in (long_ago.astimezone(UTC), long_ago):
        found = is_due(
            WEDNESDAY,
            now=_at(now, zone).astimezone(UTC),
            zone=zone,
            first_snapshot=began,
            last_check=_at(last, zone).astimezone(UTC),
            is_first_job=is_first,
        )
        assert found is expected


@pytest.mark.parametrize(
    ("first", "now", "expected"),
    [
        (None, "2026-11-25", False),
        ("2026-11-18", "2026-11-25", True),
        ("2026-11-19", "2026-11-25", False),
        ("2026-11-19", "2026-11-26", False),
        ("2026-11-18", "2026-11-26", True),
        ("2031-11-18", "2026-11-26", True),
    ],
)
def test_never_checked(first: str | None, now: str, expected: bool) -> None:
    """Counted from the first snapshot; where there is none, there is nothing to check."""
    began = _at(first, VIENNA) if first is not None else None
    found = is_due(
        WEDNESDAY, now=_at(now, VIENNA), zone=VIENNA, first_snapshot=began, last_check=None, is_first_job=True
    )
    assert found is expected


@pytest.mark.parametrize("set_number", range(5))
def test_with_a_run_a_day_each_set_is_checked_once_a_week(set_number: int) -> None:
    """Never more than eight days apart, and within a few weeks on its own day."""
    day = datetime(2026, 1, 1, 3, tzinfo=VIENNA)
    first, last, checked = day, None, []
    for _ in range(400):
        for is_first_job in (True, False):
            if is_due(
                set_number, now=day, zone=VIENNA, first_snapshot=first, last_check=last, is_first_job=is_first_job
            ):
                last = day
                checked.append(day)
        day += timedelta(days=1)
    gaps = [(after.date() - before.date()).days for before, after in zip(checked, checked[1:], strict=False)]
    assert set(gaps) <= {7, 8}
    assert set(gaps[7:]) == {7}
    assert {one.weekday() for one in checked[7:]} == {set_number}
