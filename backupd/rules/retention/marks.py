"""The days that a rule of a policy is about: `sat,sun`, `last-fri`, `jan,apr,jul,oct/1`, `w1/mon` (docs/retention.md).

A rule's days cut time into periods: each ends with the end of such a day, the mark, and begins after the mark before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import msgspec

from backupd.errors import UsageError
from backupd.model.retention import WHEN, RetentionRule
from backupd.rules.calendar_days import MONTHS, WEEKDAYS, DayIn, day_in_month, number_of

_MOST_QUARTERS = 4
_MOST_WORDS = 64
"""Characters of a rule's days."""

class Marks(msgspec.Struct, frozen=True):
    """The days of a rule."""

    text: str
    """In the one spelling."""
    next_mark: Callable[[date], date | None]
    """The first mark at or after a day: the end of the period that the day lies in. None: there is no more."""


def marks_of(rule: RetentionRule) -> Marks:
    """The days of a rule that has just one kind. Raises UsageError."""
    if rule.dates is not None:
        days = sorted(set(rule.dates))
        return Marks(",".join(map(str, days)), lambda day: _next_of(days, day))
    kind = next(kind for kind in WHEN if getattr(rule, kind) is not None)
    text = "".join(str(rule.when if rule.when is not None else WHEN[kind]).lower().split())
    if kind == "daily":
        if rule.when is not None:
            raise UsageError("daily names no day", hint="leave `when` out, or write weekly")
        return Marks("", lambda day: day)
    if len(text) > _MOST_WORDS:
        raise UsageError(f"the days of {kind} are a text of {len(text)} characters", hint=f"as: {WHEN[kind]}")
    return _READERS[kind](text)


def _next_of(days: Sequence[date], day: date) -> date | None:
    at = bisect_left(days, day)
    return days[at] if at < len(days) else None


def _weekly(text: str) -> Marks:
    chosen = sorted({number_of(word, WEEKDAYS, "weekly", "sat or sat,sun") for word in text.split(",")})

    def next_mark(day: date) -> date:
        return day + timedelta(days=min((weekday - day.weekday()) % 7 for weekday in chosen))

    return Marks(",".join(WEEKDAYS[weekday] for weekday in chosen), next_mark)


def _monthly(text: str) -> Marks:
    spelled, day_in = day_in_month(text, "monthly")

    def next_mark(day: date) -> date:
        after = (day.year, day.month + 1) if day.month < 12 else (day.year + 1, 1)
        return _first(day, [(day.year, day.month), after], day_in)

    return Marks(spelled, next_mark)


def _quarterly(text: str) -> Marks:
    names, slash, last = text.partition("/")
    months = sorted({number_of(name, MONTHS, "quarterly", "jan,apr,jul,oct/1") for name in names.split(",")})
    if not slash or len(months) > _MOST_QUARTERS:
        raise UsageError(
            f"'{text}' names no days of quarterly", hint="up to four months and a day, as: jan,apr,jul,oct/1"
        )
    spelled, day_in = day_in_month(last, "quarterly")
    text = f"{','.join(MONTHS[month] for month in months)}/{spelled}"

    def next_mark(day: date) -> date:
        years = (day.year, day.year + 1)
        return _first(day, [(year, month + 1) for year in years for month in months], day_in)

    return Marks(text, next_mark)


def _yearly(text: str) -> Marks:
    name, slash, last = text.partition("/")
    hint = "a month and a day, as jan/1 or jun/last-fri, or an ISO week and a day, as w1/mon"
    if not slash:
        raise UsageError(f"'{text}' names no day of yearly", hint=hint)
    if name[:1] == "w" and name[1:].isascii() and name[1:].isdigit():
        week = int(name[1:])
        if not 1 <= week <= 53 or len(name) > 3:
            raise UsageError(f"'{text}' names no week of yearly", hint="w1 to w53")
        weekday = number_of(last, WEEKDAYS, "yearly", "w1/mon")
        return Marks(f"w{week}/{WEEKDAYS[weekday]}", lambda day: _next_in_week(day, week, weekday))
    month = number_of(name, MONTHS, "yearly", hint) + 1
    spelled, day_in = day_in_month(last, "yearly")

    def next_mark(day: date) -> date:
        return _first(day, [(day.year, month), (day.year + 1, month)], day_in)

    return Marks(f"{MONTHS[month - 1]}/{spelled}", next_mark)


_READERS: dict[str, Callable[[str], Marks]] = {
    "weekly": _weekly,
    "monthly": _monthly,
    "quarterly": _quarterly,
    "yearly": _yearly,
}


def _first(day: date, months: Sequence[tuple[int, int]], day_in: DayIn) -> date:
    """The first mark at or after a day. months: year and month of marks in order, as far as one is not before it."""
    for year, month in months:
        mark = day_in(year, month)
        if mark >= day:
            return mark
    raise AssertionError("the last one is not before the day")


def _next_in_week(day: date, week: int, weekday: int) -> date:
    for year in range(day.isocalendar().year, day.isocalendar().year + 2):
        # 28 December always lies in a year's last week: without a week 53 that one stands for it.
        last = date(year, 12, 28).isocalendar().week
        mark = date.fromisocalendar(year, min(week, last), weekday + 1)
        if mark >= day:
            return mark
    raise AssertionError("the next year has a mark")
