"""Times of a day as people write them: `02:00`, `22:00-06:00`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import msgspec

from backupd.errors import UsageError

DAY_MINUTES = 24 * 60
_TIME = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])", re.ASCII)


def minute_of_day(text: str) -> int:
    """Minutes since midnight, 0 to 1440. Raises UsageError."""
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match is not None else DAY_MINUTES + 1
    if minute > DAY_MINUTES:
        raise UsageError(f"'{text}' is no time of day", hint='write it as "08:00"')
    return minute


class Window(msgspec.Struct, frozen=True):
    """A part of each day by the clock on the wall: what its changes skip does not come, what they repeat is twice."""

    begins: int
    """Minute of the day, the first that counts."""
    ends: int
    """The first that does not; at or before `begins`: of the next day."""

    def holds(self, local: datetime) -> bool:
        """Whether a moment lies in it. local: in the zone that is meant."""
        minute = local.hour * 60 + local.minute
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends

    @property
    def text(self) -> str:
        """In the one spelling."""
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begins, self.ends))

    @property
    def length(self) -> timedelta:
        """How long it is on most days."""
        return timedelta(minutes=(self.ends - self.begins) % DAY_MINUTES)


def window_of(text: str) -> Window:
    """Understand `22:00-06:00`. Raises UsageError."""
    first, dash, last = "".join(text.split()).partition("-")
    if not dash:
        raise UsageError(f"'{text}' is no window of time", hint="write when it begins and ends: 22:00-06:00")
    window = Window(minute_of_day(first) % DAY_MINUTES, minute_of_day(last))
    if window.length == timedelta(0):
        raise UsageError(f"'{text}' is no window of time: it ends where it begins", hint="leave it out for whole days")
    return window
