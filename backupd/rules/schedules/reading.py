"""From the text of a schedule to what it says; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache

import msgspec
from croniter import CroniterBadDateError, CroniterError, croniter

from backupd.errors import UsageError
from backupd.model.schedules import WHEN, ScheduleText
from backupd.rules import names
from backupd.rules.calendar_days import WEEKDAYS, day_in_month, number_of
from backupd.rules.day_times import DAY_MINUTES, Window, minute_of_day, window_of
from backupd.rules.schedules.timetable import AtTimes, ByWall, EveryMinutes, Timetable, every_day
from backupd.sizes import parse_duration

MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
HOURS = (1, 2, 3, 4, 6, 8, 12)
"""What divides an hour, and a day."""
_HOUR_SECONDS = 3600
_STOP_HOURS = range(1, 25)
_MOST_JITTER_SECONDS = 12 * _HOUR_SECONDS
_MOST_CHARACTERS = 128
_CRON_VALUE = "([0-9]{1,2}|[a-z]{3})"
_CRON_PART = rf"(\*|{_CRON_VALUE}(-{_CRON_VALUE})?)(/[0-9]{{1,2}})?"
_CRON_FIELD = re.compile(f"{_CRON_PART}(,{_CRON_PART})*", re.ASCII)
_MOST_DAYS = 366 * 9
_ANCHOR = datetime.fromisoformat("2026-01-01T00:00")


class Schedule(msgspec.Struct, frozen=True):
    """A schedule that was understood."""

    text: ScheduleText
    """In the one spelling."""
    timetable: Timetable
    stop_after_seconds: int | None = None
    jitter_seconds: int = 0
    window: Window | None = None


@lru_cache(maxsize=1024)
def schedule_of(text: ScheduleText) -> Schedule:
    """Understand a schedule. Raises UsageError; `context["at"]` is the field that is wrong."""
    given = [kind for kind in WHEN if getattr(text, kind) is not None]
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "does not say when"
        raise UsageError(f"schedule {text.name} {said}", hint=f"give one of {', '.join(WHEN)}", context={"at": "name"})
    (kind,) = given
    with _Field("name"):
        name = names.check_set_name(text.name)
    if text.days is not None and kind != "every":
        hint = "weekly: sat,sun@03:00 has days and a time"
        raise UsageError(f"schedule {name}: days go with every", hint=hint, context={"at": "days"})
    with _Field(kind):
        spelled, timetable = _READERS[kind](str(getattr(text, kind)).strip().lower(), text.days)
    with _Field("stop_after"):
        stop = _stop_of(text, timetable)
    with _Field("jitter"):
        jitter = _jitter_of(text, timetable)
    with _Field("window"):
        window = window_of(text.window) if text.window is not None else None
    spelled_text = msgspec.structs.replace(
        text, name=name, **spelled, window=window.text if window is not None else None
    )
    return Schedule(spelled_text, timetable, stop, jitter, window)


class _Field:
    """Says in an error which field it is about."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UsageError):
            raise UsageError(error.message, hint=error.hint, context={"at": self._name}) from error


Spelled = dict[str, str | None]
Reader = Callable[[str, str | None], tuple[Spelled, Timetable]]


def _daily(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    minute = minute_of_day(text) % DAY_MINUTES
    return {"daily": _spell(minute)}, AtTimes(every_day, (minute,))


def _every(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    seconds = parse_duration(text)
    chosen = _weekdays("every", days) if days is not None else list(range(7))
    spelled: Spelled = {"days": _spell_days(chosen) if days is not None else None}
    minutes, rest = divmod(seconds, 60)
    if not rest and minutes in MINUTES:
        return {**spelled, "every": f"{minutes}m"}, EveryMinutes(minutes, frozenset(chosen))
    hours, rest = divmod(seconds, _HOUR_SECONDS)
    if rest or hours not in HOURS:
        hint = f"{', '.join(map(str, MINUTES))} minutes or {', '.join(map(str, HOURS))} hours: what divides the day"
        raise UsageError(f"every {text} does not come out even", hint=hint)
    if hours == 1:
        return {**spelled, "every": "1h"}, EveryMinutes(60, frozenset(chosen))
    minutes_of_day = tuple(range(0, DAY_MINUTES, hours * 60))
    return {**spelled, "every": f"{hours}h"}, AtTimes(_on(frozenset(chosen)), minutes_of_day)


def _weekly(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    chosen_text, minute = _day_and_time("weekly", text, "sat,sun@03:00")
    chosen = _weekdays("weekly", chosen_text)
    return {"weekly": f"{_spell_days(chosen)}@{_spell(minute)}"}, AtTimes(_on(frozenset(chosen)), (minute,))


def _monthly(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    day, minute = _day_and_time("monthly", text, "last-fri@04:00")
    spelled, day_in = day_in_month(day, "monthly")

    def days_from(start: date) -> Iterator[date]:
        for passed in range(_MOST_DAYS // 28):
            year, month = divmod(start.year * 12 + start.month - 1 + passed, 12)
            if (found := day_in(year, month + 1)) >= start:
                yield found

    return {"monthly": f"{spelled}@{_spell(minute)}"}, AtTimes(days_from, (minute,))


def _once(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    day_text, minute = _day_and_time("once", text, "2026-12-24@18:00")
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        hint = "write it as 2026-12-24; it has to be in the calendar"
        raise UsageError(f"'{day_text}' is no day", hint=hint) from None
    timetable = AtTimes(lambda start: iter([day] if day >= start else []), (minute,))
    return {"once": f"{day.isoformat()}@{_spell(minute)}"}, timetable


def _cron(text: str, days: str | None) -> tuple[Spelled, Timetable]:
    fields = text.split()
    if len(text) > _MOST_CHARACTERS or len(fields) != 5 or not all(map(_CRON_FIELD.fullmatch, fields)):
        hint = "minute, hour, day, month, weekday, as: 30 2 * * mon-fri"
        raise UsageError(f"'{text[:_MOST_CHARACTERS]}' is no cron text", hint=hint)
    spelled = " ".join(fields)
    try:
        found = _after_by_cron(spelled, _ANCHOR)
    except CroniterError as error:
        raise UsageError(f"'{spelled}' is no cron text: {error}", hint="as: 30 2 * * mon-fri") from error
    if found is None:
        raise UsageError(f"'{spelled}' never comes", hint="that day is in no month that it names")
    return {"cron": spelled}, ByWall(lambda wall: _after_by_cron(spelled, wall), is_hourly=fields[1].startswith("*"))


_READERS: dict[str, Reader] = {
    "daily": _daily,
    "every": _every,
    "weekly": _weekly,
    "monthly": _monthly,
    "once": _once,
    "cron": _cron,
}


@lru_cache(maxsize=256)
def _parsed(text: str) -> croniter:
    return croniter(text, _ANCHOR)


def _after_by_cron(text: str, wall: datetime) -> datetime | None:
    """The one place that asks croniter. Raises CroniterError for what is no cron text."""
    try:
        # Naive times alone: what clock changes do is decided in timetable.py.
        found: datetime = _parsed(text).get_next(datetime, start_time=wall, update_current=False)
    except CroniterBadDateError:
        return None
    return found


def _stop_of(text: ScheduleText, timetable: Timetable) -> int | None:
    if text.stop_after is None:
        return None
    seconds = parse_duration(text.stop_after)
    if text.every is not None or _is_of_every_hour(timetable):
        hint = "give the run a time of day, or leave stop_after out"
        raise UsageError("a run of every hour or more often has no stop_after", hint=hint)
    if seconds % _HOUR_SECONDS or seconds // _HOUR_SECONDS not in _STOP_HOURS:
        raise UsageError(f"stop_after is {text.stop_after}", hint="1h to 24h, in whole hours")
    return seconds


def _jitter_of(text: ScheduleText, timetable: Timetable) -> int:
    if text.jitter is None:
        return 0
    seconds = parse_duration(text.jitter)
    most = _MOST_JITTER_SECONDS
    if text.every is not None:
        most = min(most, parse_duration(text.every))
    elif _is_of_every_hour(timetable):
        most = 60
    if seconds >= most:
        raise UsageError(f"jitter is {text.jitter}", hint="less than the time to the next run, and less than 12h")
    return seconds


def _is_of_every_hour(timetable: Timetable) -> bool:
    return isinstance(timetable, ByWall) and timetable.is_hourly


def _on(weekdays: frozenset[int]) -> Callable[[date], Iterator[date]]:
    return lambda start: (day for day in every_day(start) if day.weekday() in weekdays)


def _day_and_time(kind: str, text: str, example: str) -> tuple[str, int]:
    day, at, time_text = "".join(text.split()).partition("@")
    if not at or not day or len(text) > _MOST_CHARACTERS:
        raise UsageError(f"'{text[:_MOST_CHARACTERS]}' is no day and time of {kind}", hint=f"as: {example}")
    return day, minute_of_day(time_text) % DAY_MINUTES


def _weekdays(kind: str, text: str) -> list[int]:
    words = "".join(text.lower().split()).split(",")
    return sorted({number_of(word, WEEKDAYS, kind, "mon,tue") for word in words[:8]})


def _spell_days(chosen: Sequence[int]) -> str:
    return ",".join(WEEKDAYS[one] for one in chosen)


def _spell(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
