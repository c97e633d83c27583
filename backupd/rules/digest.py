"""When the daily digest is due; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from backupd.rules.day_times import DAY_MINUTES, minute_of_day

MOST_DAYS = 7
"""A digest looks back no further, however long nobody was there."""


def minutes_of(text: str) -> int:
    """Minute of the day. Raises UsageError."""
    return minute_of_day(text) % DAY_MINUTES


def latest_due(now: datetime, minutes: int, zone: tzinfo) -> datetime:
    """When the newest digest was due, at or before now: aware UTC, one a day.

    A time that a clock change skips is due when the clock has passed it; of one that comes twice the first counts.
    """
    local = now.astimezone(zone)
    for days in range(3):
        day = local.date() - timedelta(days=days)
        wanted = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone, fold=0)
        due = wanted.astimezone(UTC)
        if due <= now:
            return due
    raise AssertionError("a day has one such time")


def begin_of(last: datetime | None, due: datetime) -> datetime:
    """From when on a digest tells."""
    if last is None:
        return due - timedelta(days=1)
    return max(last, due - timedelta(days=MOST_DAYS))
