"""When the daily digest is due; pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from backupd.errors import UsageError

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
MOST_DAYS = 7
"""A digest looks back no further, however long nobody was there."""


def minutes_of(text: str) -> int:
    """Minute of the day. Raises UsageError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise UsageError(f"'{text}' is no time of day", hint='write it as "07:00"')
    return int(found[1]) * 60 + int(found[2])


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
