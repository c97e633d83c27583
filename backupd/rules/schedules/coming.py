"""When schedules come: the next runs, the longest time between two."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from hashlib import blake2b

from backupd.rules.schedules.reading import HOURS, MINUTES, Schedule
from backupd.rules.schedules.timetable import moment_of
from backupd.sizes import format_seconds

_LOOKED_AT = 100
"""Runs, for the longest time between two."""
_HOURS = 24 * 9
_HOUR = timedelta(hours=1)


def coming(schedules: Sequence[Schedule], after: datetime, zone: tzinfo) -> Iterator[tuple[datetime, Schedule]]:
    """The moments after one at which schedules are due, in order, with endless ones without end; UTC."""
    heap: list[tuple[datetime, int]] = []
    for number, one in enumerate(schedules):
        found = one.timetable.next_after(after, zone)
        if found is not None:
            heapq.heappush(heap, (found, number))
    while heap:
        due, number = heapq.heappop(heap)
        yield due, schedules[number]
        found = schedules[number].timetable.next_after(due, zone)
        if found is not None:
            heapq.heappush(heap, (found, number))


def longest_gap(schedules: Sequence[Schedule], after: datetime, zone: tzinfo) -> timedelta | None:
    """The longest time between two of the next runs but where clocks change; None: there is none, or one alone.

    A run that is due outside of its window counts from when that opens. Seen are the next runs one by one, and the next
    days by the hour: a hole, as of a weekend, may be told an hour longer than it is.
    """
    dense = [_opened(due, one, zone) for due, one in itertools.islice(coming(schedules, after, zone), _LOOKED_AT)]
    hourly = (_first_opened(schedules, after + hour * _HOUR, zone) for hour in range(_HOURS))
    sparse = sorted({moment for moment in hourly if moment is not None})
    holes = [gap for gap in _gaps(sparse, zone) if gap > 2 * _HOUR]
    return max([*_gaps(sorted(set(dense)), zone), *holes], default=None)


def _first_opened(schedules: Sequence[Schedule], after: datetime, zone: tzinfo) -> datetime | None:
    dues = ((one, one.timetable.next_after(after, zone)) for one in schedules)
    return min((_opened(due, one, zone) for one, due in dues if due is not None), default=None)


def _gaps(moments: Sequence[datetime], zone: tzinfo) -> Iterator[timedelta]:
    local = (one.astimezone(zone) for one in moments)
    return (two - one for one, two in itertools.pairwise(local) if one.utcoffset() == two.utcoffset())


def _opened(due: datetime, schedule: Schedule, zone: tzinfo) -> datetime:
    """When a run that is due may work."""
    local = due.astimezone(zone)
    window = schedule.window
    if window is None or window.holds(local):
        return due
    opening = local.replace(hour=window.begins // 60, minute=window.begins % 60, second=0, tzinfo=None, fold=0)
    if opening <= local.replace(tzinfo=None):
        opening += timedelta(days=1)
    return moment_of(opening, zone)


def jitter_of(schedule: Schedule, set_id: str, due: datetime) -> timedelta:
    """How much later the run of a moment begins: by chance, but the same after a restart."""
    if not schedule.jitter_seconds:
        return timedelta(0)
    seed = f"{set_id}\0{schedule.text.name}\0{int(due.timestamp())}".encode()
    drawn = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")
    return timedelta(seconds=drawn % schedule.jitter_seconds)


def fitting_interval(seconds: float) -> str | None:
    """The shortest `every` in which a run of so many seconds ends; None: none of a day does."""
    minutes = next((one for one in MINUTES if one * 60 >= seconds), None)
    if minutes is not None:
        return f"{minutes}m"
    hours = next((one for one in HOURS if one * 3600 >= seconds), None)
    return f"{hours}h" if hours is not None else None


def overrun(count: int, seconds: float) -> str:
    """A sentence of a run that went on while so many more were due. seconds: how long it took."""
    fitting = fitting_interval(seconds)
    more = "another run was due" if count == 1 else f"{count} more runs were due"
    mend = f"every {fitting} would have fitted" if fitting is not None else "no interval of a day would have fitted"
    return f"the run took {format_seconds(seconds)}, and {more} meanwhile, which did not begin: {mend}"
