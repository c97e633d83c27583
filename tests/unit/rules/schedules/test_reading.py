"""Schedules as people write them: one spelling, and what is refused, with its place."""

from __future__ import annotations

import pytest

from backupd.errors import ConfigError, UsageError
from backupd.model.schedules import ScheduleText
from backupd.rules.schedules.checking import check_schedules
from backupd.rules.schedules.reading import HOURS, MINUTES, schedule_of


def text(**words: object) -> ScheduleText:
    return ScheduleText(**{"name": "one", **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ({"daily": "2:05"}, {"daily": "02:05"}),
        ({"daily": "24:00"}, {"daily": "00:00"}),
        ({"every": "60m"}, {"every": "1h"}),
        ({"every": "3600s"}, {"every": "1h"}),
        ({"every": "15m", "days": "Sun, MON"}, {"every": "15m", "days": "mon,sun"}),
        ({"weekly": "sun,sat,sun @ 3:00"}, {"weekly": "sat,sun@03:00"}),
        ({"monthly": "Last-Fri@4:00"}, {"monthly": "last-fri@04:00"}),
        ({"once": "2026-12-24@18:00"}, {"once": "2026-12-24@18:00"}),
        ({"cron": "30  2 * * MON-FRI"}, {"cron": "30 2 * * mon-fri"}),
        ({"daily": "2:00", "window": "22:00 - 6:00"}, {"window": "22:00-06:00"}),
    ],
)
def test_one_spelling(words: dict[str, str], spelled: dict[str, str]) -> None:
    found = schedule_of(text(**words)).text
    assert {name: getattr(found, name) for name in spelled} == spelled
    assert schedule_of(found).text == found


@pytest.mark.parametrize(
    ("words", "at", "says"),
    [
        ({}, "name", "does not say when"),
        ({"daily": "02:00", "every": "1h"}, "name", "daily and every"),
        ({"daily": "25:00"}, "daily", "no time of day"),
        ({"daily": "noon"}, "daily", "no time of day"),
        ({"daily": "٠٢:٠٠"}, "daily", "no time of day"),
        ({"every": "7m"}, "every", "come out even"),
        ({"every": "90m"}, "every", "come out even"),
        ({"every": "24h"}, "every", "come out even"),
        ({"every": "0m"}, "every", "come out even"),
        ({"every": "often"}, "every", "no duration"),
        ({"every": "1h", "days": "someday"}, "every", "names no day"),
        ({"daily": "02:00", "days": "mon"}, "days", "days go with every"),
        ({"weekly": "sat"}, "weekly", "no day and time"),
        ({"weekly": "@03:00"}, "weekly", "no day and time"),
        ({"weekly": "caturday@03:00"}, "weekly", "names no day"),
        ({"monthly": "32@04:00"}, "monthly", "names no day"),
        ({"monthly": "0@04:00"}, "monthly", "names no day"),
        ({"monthly": "fifth-fri@04:00"}, "monthly", "names no day"),
        ({"once": "2026-02-31@04:00"}, "once", "no day"),
        ({"once": "2026-12-24"}, "once", "no day and time"),
        ({"cron": "0 0 31 2 *"}, "cron", "never comes"),
        ({"cron": "0 0 30 feb *"}, "cron", "never comes"),
        ({"cron": "61 * * * *"}, "cron", "no cron text"),
        ({"cron": "* * * *"}, "cron", "no cron text"),
        ({"cron": "* * * * * *"}, "cron", "no cron text"),
        ({"cron": "@daily"}, "cron", "no cron text"),
        ({"cron": "R R * * *"}, "cron", "no cron text"),
        ({"cron": "0 0 * * mon" + ",mon" * 60}, "cron", "no cron text"),
        ({"every": "1h", "stop_after": "2h"}, "stop_after", "no stop_after"),
        ({"cron": "0 * * * *", "stop_after": "2h"}, "stop_after", "no stop_after"),
        ({"daily": "02:00", "stop_after": "90m"}, "stop_after", "stop_after is 90m"),
        ({"daily": "02:00", "stop_after": "25h"}, "stop_after", "stop_after is 25h"),
        ({"daily": "02:00", "jitter": "12h"}, "jitter", "jitter is 12h"),
        ({"every": "15m", "jitter": "15m"}, "jitter", "jitter is 15m"),
        ({"daily": "02:00", "window": "02:00"}, "window", "no window"),
        ({"daily": "02:00", "window": "02:00-02:00"}, "window", "ends where it begins"),
        ({"daily": "02:00", "name": "-x"}, "name", "-x"),
    ],
)
def test_what_is_refused(words: dict[str, object], at: str, says: str) -> None:
    """Else a set seems to run by itself, and never does."""
    with pytest.raises(UsageError, match=says) as caught:
        schedule_of(text(**words))
    assert caught.value.context["at"] == at
    assert caught.value.hint


def test_all_intervals_are_read() -> None:
    for minutes in MINUTES:
        assert schedule_of(text(every=f"{minutes}m")).text.every == f"{minutes}m"
    for hours in HOURS:
        assert schedule_of(text(every=f"{hours}h")).text.every == f"{hours}h"


def test_schedules_of_a_set() -> None:
    """A fault is told with its place; two of one name would hide each other's state."""
    with pytest.raises(ConfigError, match="come out even") as caught:
        check_schedules("home", [text(daily="02:00"), text(name="two", every="7m")])
    assert caught.value.context["at"] == ["schedules", 1, "every"]
    with pytest.raises(ConfigError, match="two schedules called ONE"):
        check_schedules("home", [text(daily="02:00"), text(name="ONE", every="1h")])
    with pytest.raises(ConfigError, match="33 schedules"):
        check_schedules("home", [text(name=f"n{number}", daily="02:00") for number in range(33)])
