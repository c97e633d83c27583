"""Days as people write them: weekdays, months, `last-fri` (docs/retention.md, docs/schedules.md)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from backupd.errors import UsageError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ORDINALS = ("first", "second", "third", "fourth", "last")

DayIn = Callable[[int, int], date]
"""The day of a year and a month."""


def day_in_month(text: str, kind: str) -> tuple[str, DayIn]:
    """(the one spelling, the day). A day that a month lacks is its last. kind: for messages. Raises UsageError."""
    if text == "last":
        return text, lambda year, month: date(year, month, monthrange(year, month)[1])
    if text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 31:
        number = int(text)
        return str(number), lambda year, month: date(year, month, min(number, monthrange(year, month)[1]))
    ordinal, _, name = text.partition("-")
    if ordinal not in _ORDINALS or name not in WEEKDAYS:
        hint = "1 to 31, last, first-mon, second-tue, third-wed, fourth-thu or last-fri"
        raise UsageError(f"'{text}' names no day of {kind}", hint=hint)
    weekday = WEEKDAYS.index(name)
    return text, lambda year, month: _nth_weekday(year, month, _ORDINALS.index(ordinal), weekday)


def _nth_weekday(year: int, month: int, index: int, weekday: int) -> date:
    """index: 0 the first to 3 the fourth, 4 the last one, which may be that, too."""
    first = date(year, month, 1)
    days = (weekday - first.weekday()) % 7 + 7 * index
    if days >= monthrange(year, month)[1]:
        days -= 7
    return first + timedelta(days=days)


def number_of(word: str, names: Sequence[str], kind: str, example: str) -> int:
    """Which of the names a word is, from 0. kind, example: for messages. Raises UsageError."""
    if word not in names:
        raise UsageError(f"'{word}' names no day of {kind}", hint=f"as: {example}")
    return names.index(word)
