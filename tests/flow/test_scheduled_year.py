"""A year of 50 sets that run by themselves: nothing missed, nothing twice, each decision told (RELIABILITY F5).

At every change it is two weeks around each clock change, by night most of a year.

Catalog, queue, jobs and scheduler are the daemon's own, on a clock that the test sets. Only the work of a run is left
out: it takes a drawn time, and is good. What is due is worked out beside them, by a walk over all minutes of the year.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from backupd.catalog.database import Connection
from backupd.clock import to_datetime
from backupd.model.schedules import ScheduleText
from backupd.model.sets import DestinationText, SetText
from tests.support.scheduled_household import Household, Year, state_in_memory

ZONE = ZoneInfo("Europe/Berlin")
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_AT = r"(\S+ \S+ \S+)"
_OF = r"schedule (\S+) of (\S+): "
_TOLD = re.compile(rf"{_OF}due {_AT}(?:, for (?:at least )?(\d+) runs? since {_AT})?: (.*)")
_MISSED = re.compile(rf"{_OF}(\d+) runs? missed, from {_AT} to {_AT}: nobody was there")


def _schedules(number: int, random: Random) -> list[ScheduleText]:
    """Of one of 50 sets: most daily, some of each other kind."""
    minute = f"{random.randrange(24):02}:{random.randrange(60):02}"
    kinds: dict[int, list[dict[str, str]]] = {
        0: [{"daily": "02:30"}],
        1: [{"every": "6h"}, {"weekly": "sun@02:00", "missed": "skip"}],
        2: [{"monthly": "last-sun@02:15"}, {"monthly": "31@23:59"}],
        3: [{"cron": "30 2 * * mon-fri"}, {"once": "2026-03-29@02:30"}],
        4: [{"every": "2h", "days": "sat,sun", "jitter": "30m"}],
        5: [{"daily": "03:00", "jitter": "1h"}, {"daily": "02:00", "overlap": "queue"}],
        6: [{"every": "1h", "days": "sun"}],
        7: [{"every": "15m", "days": "sun"}],
        8: [{"daily": minute, "missed": "skip"}],
    }
    chosen = kinds.get(number, [{"daily": minute}] if number % 3 else [{"weekly": f"wed@{minute}"}])
    return [ScheduleText(name=f"s{at}", **one) for at, one in enumerate(chosen)]  # type: ignore[arg-type]


def _is_due(text: ScheduleText, moment: datetime, skipped: tuple[int, int] | None, is_second: bool) -> bool:
    """Whether a schedule is due at a minute, read off the clock on the wall alone.

    skipped: minutes of the day that the clocks have just skipped. is_second: the clock showed this time before.
    """
    minute = moment.hour * 60 + moment.minute
    # What stood in the hour that was skipped is due now.
    minutes = [minute, *(range(*skipped) if skipped else ())]
    last = (moment + _DAY).month != moment.month

    def at(text_of_day: str) -> bool:
        hour, _, rest = text_of_day.partition(":")
        return not is_second and int(hour) * 60 + int(rest) in minutes

    if text.daily:
        return at(text.daily)
    if text.weekly:
        days, _, time = text.weekly.partition("@")
        return moment.strftime("%a").lower() in days and at(time)
    if text.monthly:
        day, _, time = text.monthly.partition("@")
        is_last_sunday = moment.weekday() == 6 and (moment + 7 * _DAY).month != moment.month
        return (is_last_sunday if day == "last-sun" else last) and at(time)
    if text.once:
        day, _, time = text.once.partition("@")
        return moment.date() == date.fromisoformat(day) and at(time)
    if text.cron:
        return moment.weekday() < 5 and at("02:30")
    every = {"6h": 360, "2h": 120, "1h": 60, "15m": 15}[text.every or ""]
    if text.days and moment.strftime("%a").lower() not in text.days:
        return False
    if every <= 60:
        return minute % every == 0
    return not is_second and any(one % every == 0 for one in minutes)


def _expected(sets: dict[str, list[ScheduleText]], year: Year) -> dict[tuple[str, str], list[datetime]]:
    """All moments at which each schedule is due, by a walk over all minutes."""
    found: dict[tuple[str, str], list[datetime]] = {(n, t.name): [] for n, texts in sets.items() for t in texts}
    moment, before = year.start, (year.start - _MINUTE).astimezone(ZONE)
    while moment < year.end:
        local = moment.astimezone(ZONE)
        jump = (local.replace(tzinfo=None) - before.replace(tzinfo=None)) // _MINUTE
        minute = local.hour * 60 + local.minute
        skipped = (minute - jump + 1, minute) if jump > 1 else None
        is_second = local.fold == 1
        wall = local.replace(tzinfo=None)
        for name, texts in sets.items():
            for text in texts:
                if _is_due(text, wall, skipped, is_second):
                    found[name, text.name].append(moment)
        before, moment = local, moment + _MINUTE
    return found


def _covered(lines: list[str]) -> Iterator[tuple[str, str, datetime, datetime, int, str]]:
    """What each line of the log decided: set, schedule, first and last moment, how many, what was done."""
    for line in lines:
        if (match := _TOLD.fullmatch(line)) is not None:
            schedule, name, due, count, since, what = match.groups()
            word = "begun" if what.endswith(" begun") else "stood for" if "for it" in what else "passed over"
            yield name, schedule, _moment(since or due), _moment(due), int(count or 1), word
        elif (match := _MISSED.fullmatch(line)) is not None:
            schedule, name, count, first, last = match.groups()
            yield name, schedule, _moment(first), _moment(last), int(count), "missed"


def _moment(text: str) -> datetime:
    day, time, zone = text.split()
    local = datetime.fromisoformat(f"{day}T{time}")
    offset = {"CET": 1, "CEST": 2}[zone]
    return local.replace(tzinfo=UTC) - offset * _HOUR


@pytest.mark.parametrize(
    ("first", "days"),
    [("2026-03-22", 14), ("2026-10-20", 14), pytest.param("2026-03-25", 220, marks=pytest.mark.nightly)],
)
def test_a_year_that_runs_by_itself(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, first: str, days: int
) -> None:
    """Else somebody finds, on the day that it is needed, that the night of the clock change was left out."""
    caplog.set_level(logging.INFO, "backupd.schedules")
    is_full = request.config.getoption("--full-size") and days > 200
    start = datetime.fromisoformat("2026-01-01" if is_full else first).replace(tzinfo=ZONE)
    year = Year(start.astimezone(UTC), 365 if is_full else days, 0)
    random = Random(7)
    numbers = range(50) if is_full else (0, 1, 2, 3, 4, 5, 8, 9)
    sets = {f"set{number}": _schedules(number, random) for number in numbers}
    with state_in_memory() as state:
        kept = asyncio.run(_live(state, sets, year))
    expected = _expected(sets, year)
    found: dict[tuple[str, str], list[datetime]] = {key: [] for key in expected}
    decisions: Counter[str] = Counter()
    for name, schedule, begin, last, number, what in _covered(caplog.messages):
        decisions[what] += 1
        if begin >= year.end:
            # It became due while the last ones ended.
            continue
        its = [moment for moment in expected[name, schedule] if begin <= moment <= last]
        assert len(its) == number, (name, schedule, begin, last, number, what)
        found[name, schedule] += its
    for key, moments in expected.items():
        assert sorted(found[key]) == moments, key
    # What was told is what is in the catalog.
    assert kept["missed"] == decisions["missed"] > 0
    assert sum(kept.values()) - kept["missed"] == decisions["begun"]
    assert set(kept) <= {"completed", "warning", "interrupted", "missed"}
    assert decisions["passed over"] > 0 or not is_full
    print(f"{sum(map(len, expected.values()))} moments of {len(sets)} sets: {dict(decisions)}")  # noqa: T201


async def _live(state: Path, sets: dict[str, list[ScheduleText]], year: Year) -> Counter[str]:
    """Go through the year with its troubles; the states of all jobs at its end."""
    year.set(year.start - _MINUTE)
    household = Household(state, year)
    await household.begin()
    await household.known.add_destination(DestinationText(name="place", place=str(state / "place")))
    for name, texts in sets.items():
        await household.known.add_set(SetText(name=name, sources=["/etc"], to=["place"], schedules=texts))
    await household.step()
    troubles = _troubles(year)
    while year.now < year.end - _MINUTE:
        moment = household.next_moment()
        if troubles and troubles[0][0] <= moment:
            at, kind, span = troubles.pop(0)
            year.set(max(at, year.now))
            if kind == "kill":
                await household.kill()
            year.set(year.now + span)
            if kind == "kill":
                await household.begin()
        else:
            year.set(min(max(moment, year.now), year.end - _MINUTE))
        await household.step()
    # The last ones end.
    year.set(year.end - timedelta(seconds=1))
    while year.ends:
        year.set(max(year.now, to_datetime(year.ends[0][0])))
        await household.step()

    def states(connection: Connection) -> Counter[str]:
        return Counter(dict(connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall()))

    kept = await asyncio.wrap_future(household.database.read(states))
    await household.kill()
    return kept


def _troubles(year: Year) -> list[tuple[datetime, str, timedelta]]:
    """When what goes wrong, in order: a machine that sleeps, a clock that is set, a daemon that is killed."""
    random = Random(11)
    found = [
        (year.start + year.days // 5 * _DAY + 7 * _HOUR, "sleep", 3 * _DAY),
        (year.start + year.days // 3 * _DAY + 11 * _HOUR, "step", -40 * _MINUTE),
        (year.start + year.days * 2 // 3 * _DAY + 1 * _HOUR, "step", 90 * _MINUTE),
        # In the nights of the clock changes.
        (datetime(2026, 3, 29, 0, 50, tzinfo=UTC), "kill", 5 * _MINUTE),
        (datetime(2026, 10, 25, 0, 40, tzinfo=UTC), "kill", 25 * _MINUTE),
        (year.start + year.days * 9 // 10 * _DAY, "kill", 30 * _HOUR),
    ]
    kills = max(5, year.days // 11)
    found += [(year.start + random.random() * year.days * _DAY, "kill", timedelta(seconds=20)) for _ in range(kills)]
    return sorted(one for one in found if year.start <= one[0] < year.end)
