"""When the digest is due: once each day, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backupd.errors import UsageError
from backupd.rules.digest import begin_of, latest_due, minutes_of

VIENNA = ZoneInfo("Europe/Vienna")


def test_one_a_day_over_a_year_with_both_clock_changes() -> None:
    """At 02:30, which one day skips and another repeats."""
    now, seen = datetime(2026, 1, 1, tzinfo=UTC), set[datetime]()
    while now < datetime(2027, 1, 1, tzinfo=UTC):
        due = latest_due(now, 150, VIENNA)
        assert timedelta(0) <= now - due <= timedelta(hours=25)
        seen.add(due)
        now += timedelta(minutes=30)
    assert 365 <= len(seen) <= 366
    days = [due.astimezone(VIENNA).date() for due in seen]
    assert len(set(days)) == len(days)


def test_it_looks_back_a_day_or_to_the_last_one_but_no_further_than_a_week() -> None:
    due = datetime(2026, 11, 26, 6, tzinfo=UTC)
    assert begin_of(None, due) == due - timedelta(days=1)
    assert begin_of(due - timedelta(days=3), due) == due - timedelta(days=3)
    assert begin_of(due - timedelta(days=30), due) == due - timedelta(days=7)


@pytest.mark.parametrize("text", ["24:01", "7", "07:60", "", "07:00:00", "٠٧:٠٠"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(UsageError):
        minutes_of(text)
