"""What is to be done about a schedule at a moment; pure.

All that was due up to a moment has been decided: that moment is kept, whatever the clocks did meanwhile. So a run is
never begun twice for one due moment, and a machine that slept begins one run for all that it slept through.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from backupd.rules.schedules.coming import jitter_of
from backupd.rules.schedules.reading import Schedule

GRACE = timedelta(minutes=5)
"""A run that begins so much later is on time: the machine may be busy."""
STEP_BACK = timedelta(hours=1)
"""A clock that is set back by no more than this, or than a schedule's interval, is waited for: what ran does not run
again. By more, and the schedule goes on from the new time: else nothing would run until the old one comes again."""
MOST_COUNTED = 1000
_SPANS = tuple(timedelta(hours=hours) for hours in (1, 25, 24 * 40, 24 * 400, 24 * 366 * 9))


class Due(msgspec.Struct, frozen=True):
    """A schedule is due."""

    at: datetime
    """The newest moment, UTC."""
    count: int
    """How many moments passed since it was looked at last, that one included; at most MOST_COUNTED."""
    first: datetime
    """The oldest of them."""
    is_late: bool
    """Whether the newest has been over for more than GRACE."""
    before: datetime | None = None
    """The one before the newest, of several."""

    def begins(self, schedule: Schedule) -> bool:
        """Whether a run is begun; else all of them were missed."""
        return not self.is_late or schedule.text.missed == "run"

    def missed_count(self, schedule: Schedule) -> int:
        """How many runs are to be told as missed."""
        if schedule.text.missed == "run":
            return 0
        return self.count if self.is_late else self.count - 1

    def last_missed(self, schedule: Schedule) -> datetime:
        """The newest of those."""
        return self.before if self.before is not None and self.begins(schedule) else self.at


def rebased(handled: datetime, now: datetime, gap: timedelta | None) -> datetime:
    """Up to where all is decided, after a look at the clock: it may have been set back.

    gap: the longest time between two runs; None: there are no two.
    """
    return now if handled - now > max(STEP_BACK, gap or STEP_BACK) else handled


def next_begin(schedule: Schedule, set_id: str, handled: datetime, zone: tzinfo) -> datetime | None:
    """When its next run begins, jitter included; None: never again. handled: up to where all is decided."""
    due = schedule.timetable.next_after(handled, zone)
    return due + jitter_of(schedule, set_id, due) if due is not None else None


def decide(schedule: Schedule, set_id: str, handled: datetime, now: datetime, zone: tzinfo) -> Due | None:
    """What is due now; None: nothing is. handled, now: aware; all up to the first is decided."""
    newest = _newest(schedule, set_id, handled, now, zone)
    if newest is None:
        return None
    first = schedule.timetable.next_after(handled, zone) or newest
    count, one = 1, first
    before: datetime | None = None
    while one < newest and count < MOST_COUNTED:
        count, before, one = count + 1, one, schedule.timetable.next_after(one, zone) or newest
    is_late = now - newest - jitter_of(schedule, set_id, newest) > GRACE
    return Due(newest.astimezone(UTC), count, first, is_late, before)


def _newest(schedule: Schedule, set_id: str, handled: datetime, now: datetime, zone: tzinfo) -> datetime | None:
    """The newest moment after `handled` whose run should have begun by now; looked for from now backwards."""
    for span in _SPANS:
        start = max(handled, now - span)
        found: datetime | None = None
        one = schedule.timetable.next_after(start, zone)
        while one is not None and one <= now:
            if one + jitter_of(schedule, set_id, one) <= now:
                found = one
            one = schedule.timetable.next_after(one, zone)
        if found is not None or start == handled:
            return found
    return None
