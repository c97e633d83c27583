"""The moments at which a schedule is due, through changes of the clocks.

A time of day is due once each day that it names. Where the clocks skip it, it is due at the moment when they do; where
they repeat it, the first time. Intervals of an hour or less, and cron text of every hour, go by the time that really
passes: they are due at each moment whose time of day fits, in a repeated hour twice, in a skipped one not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_ODD_HOURS = timedelta(hours=3)
"""No zone has changed its clocks by more at once, but for those that moved over the date line."""
_MOST_DAYS = 366 * 9
"""Between two runs: 29 February may be eight years away."""

DaysFrom = Callable[[date], Iterator[date]]
"""The days of a schedule from one on, in order."""


class AtTimes(msgspec.Struct, frozen=True):
    """Times of day on some days."""

    days: DaysFrom
    minutes: tuple[int, ...]
    """Of the day, rising."""

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first moment after one, UTC; None: there is no more. moment: aware."""
        return _first(self._walls(moment.astimezone(zone).date() - _DAY), moment, zone)

    def _walls(self, day: date) -> Iterator[datetime]:
        for one in self.days(day):
            yield from (datetime.combine(one, time(minute // 60, minute % 60)) for minute in self.minutes)


class EveryMinutes(msgspec.Struct, frozen=True):
    """All moments whose minute of the day is a multiple, on some weekdays."""

    minutes: int
    """Divides an hour."""
    weekdays: frozenset[int]

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first moment after one, UTC. moment: aware."""
        found = _whole_minute(moment)
        while True:
            local = found.astimezone(zone)
            if local.weekday() not in self.weekdays:
                # The clocks may change on the way: go to just before the next day, and look from there.
                midnight = datetime.combine(local.date() + _DAY, time(), tzinfo=zone).astimezone(UTC)
                found = max(midnight - _ODD_HOURS, found + _MINUTE)
                continue
            if local.minute % self.minutes == 0:
                return found
            found += _MINUTE


class ByWall(msgspec.Struct, frozen=True):
    """What a function says of clocks that never change, as cron text does."""

    wall_after: Callable[[datetime], datetime | None]
    """The first time of the clock on the wall after one; both naive."""
    is_hourly: bool
    """Whether it goes by the time that passes."""

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first moment after one, UTC; None: there is no more. moment: aware."""
        wall = moment.astimezone(zone).replace(tzinfo=None)
        if not self.is_hourly:
            return _first(self._walls(wall - _DAY), moment, zone)
        around = {(moment + by).astimezone(zone).utcoffset() for by in (-_ODD_HOURS, _ODD_HOURS)}
        near = (one for one in self._near(wall, zone) if one > moment) if len(around) > 1 else ()
        return min(near, default=None) or _first(self._walls(wall), moment, zone)

    def _near(self, wall: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Both moments of each time near one, where clocks repeat it; none of what they skip."""
        for one in self._walls(wall - _ODD_HOURS):
            if one > wall + _ODD_HOURS:
                return
            for fold in (0, 1):
                found = one.replace(tzinfo=zone, fold=fold).astimezone(UTC)
                if found.astimezone(zone).replace(tzinfo=None) == one:
                    yield found

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        found = self.wall_after(wall)
        while found is not None:
            yield found
            found = self.wall_after(found)


Timetable = AtTimes | EveryMinutes | ByWall


def _first(walls: Iterator[datetime], moment: datetime, zone: tzinfo) -> datetime | None:
    return next((found for wall in walls if (found := moment_of(wall, zone)) > moment), None)


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock on the wall shows a time, UTC: the first time that it does, or when it skips it. wall: naive."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return first
    # Skipped: the clocks change between what either offset makes of it.
    low, high = sorted((first, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _whole_minute(moment: datetime) -> datetime:
    """The first whole minute after one."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE


def every_day(day: date) -> Iterator[date]:
    """Each day from one on."""
    for passed in range(_MOST_DAYS):
        yield day + timedelta(days=passed)
