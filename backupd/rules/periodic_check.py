"""Is the periodic check of a set at a destination due with this job? (FEATURES 6.2); pure.

The weekday follows from the set's id and can't be chosen, so that the checks of many sets spread over the week.
"""

from __future__ import annotations

from datetime import date, datetime, tzinfo

_DAYS = 5
"""Monday to Friday: what a check finds is seen by somebody the next day."""
_INTERVAL_DAYS = 7


def weekday_of(set_number: int) -> int:
    """0 Monday to 4 Friday. set_number: the set's id as a whole number."""
    return set_number % _DAYS


def is_due(
    set_number: int,
    *,
    now: datetime,
    zone: tzinfo,
    first_snapshot: datetime | None,
    last_check: datetime | None,
    is_first_job: bool,
) -> bool:
    """Whether a job that begins now is to check first.

    All aware. zone: the set's, in which days are counted. first_snapshot: None where nothing is stored. last_check: the
    end of the last one that finished, by hand or periodic. is_first_job: of that day. What lies in the future was
    written by a clock that was wrong, and counts for nothing.
    """
    if first_snapshot is None:
        return False
    today = now.astimezone(zone).date()
    days = _days_since(last_check, today, zone)
    if days is None:
        days = _days_since(first_snapshot, today, zone)
    if days is None:
        return True
    if today.weekday() == weekday_of(set_number):
        return days >= _INTERVAL_DAYS and is_first_job
    return days > _INTERVAL_DAYS


def _days_since(moment: datetime | None, today: date, zone: tzinfo) -> int | None:
    """Calendar days; None: it never was."""
    if moment is None:
        return None
    days = (today - moment.astimezone(zone).date()).days
    return days if days >= 0 else None
