"""Which limit of bandwidth holds when, for what, where (FEATURES 4.5).

Times are those of the clock on the wall in the rule's zone: what a clock change skips does not come, what it repeats
holds twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from typing import TypeVar

import msgspec

from backupd.errors import UsageError
from backupd.model.bandwidth import Direction, RuleText
from backupd.rules.calendar_days import WEEKDAYS
from backupd.rules.day_times import DAY_MINUTES, minute_of_day
from backupd.sizes import format_rate, parse_rate

_BOTH: frozenset[Direction] = frozenset({"upload", "download"})

Found = TypeVar("Found")


class Rule(msgspec.Struct, frozen=True):
    """A rule that was understood."""

    name: str
    bytes_a_second: int
    directions: frozenset[Direction]
    days: frozenset[int]
    """Of the week, Monday is 0."""
    begins: int
    """Minute of the day, the first that counts."""
    ends: int
    """The first that does not; at or before `begins`: of the next day."""
    zone: tzinfo | None
    """None: that of the job."""
    destinations: frozenset[str]
    """Empty: all."""


def rule_of(text: RuleText, find_zone: Callable[[str], tzinfo]) -> Rule:
    """Understand a rule. Raises UsageError; `context["at"]` is the field that is wrong."""
    begins = _minute("from", text.begins, 0)
    ends = _minute("to", text.ends, DAY_MINUTES)
    if begins in (ends, DAY_MINUTES):
        raise UsageError(
            f"from {text.begins} to {text.ends} is no time", hint="leave both out for whole days", context={"at": "to"}
        )
    return Rule(
        name=text.name,
        bytes_a_second=_understood("rate", parse_rate, text.rate),
        directions=_BOTH if text.direction == "both" else frozenset({text.direction}),
        days=frozenset(WEEKDAYS.index(day) for day in text.days or WEEKDAYS),
        begins=begins,
        ends=ends,
        zone=_understood("zone", find_zone, text.zone) if text.zone is not None else None,
        destinations=frozenset(text.destinations),
    )


def _understood(field: str, understand: Callable[[str], Found], text: str) -> Found:
    try:
        return understand(text)
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint, context={"at": field}) from error


def holds(rule: Rule, moment: datetime, zone: tzinfo) -> bool:
    """Whether it is the rule's time. moment: aware. zone: of the job."""
    local = moment.astimezone(rule.zone or zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    if rule.begins < rule.ends:
        return day in rule.days and rule.begins <= minute < rule.ends
    yesterday = (day - 1) % len(WEEKDAYS)
    return (day in rule.days and minute >= rule.begins) or (yesterday in rule.days and minute < rule.ends)


def applies(rule: Rule, direction: Direction, destination: str) -> bool:
    """Whether it is about this direction and destination, at whatever time."""
    return direction in rule.directions and (not rule.destinations or destination in rule.destinations)


def lowest(
    rules: Iterable[Rule], moment: datetime, direction: Direction, destination: str, zone: tzinfo
) -> Rule | None:
    """Of the rules that hold the one with the lowest rate, the first of equals; None: nothing is limited."""
    found = (rule for rule in rules if applies(rule, direction, destination) and holds(rule, moment, zone))
    return min(found, key=lambda rule: rule.bytes_a_second, default=None)


def told(bytes_a_second: int, direction: Direction, why: str) -> str:
    """A limit in words."""
    return f"{direction}s are limited to {format_rate(bytes_a_second)} by {why}"


def _minute(field: str, text: str | None, absent: int) -> int:
    return absent if text is None else _understood(field, minute_of_day, text)
