"""Schedules that meet: what waits gives way, what coincides is one run, what fails is told once.

Catalog, queue, jobs and scheduler of the daemon, on a clock of their own (tests/support/scheduled_household.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backupd.catalog import definitions as rows
from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import JobFilter, StoredJob, listed
from backupd.daemon.outcome import Outcome
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.model.schedules import ScheduleText
from backupd.model.sets import DestinationText, SetText
from tests.support.scheduled_household import Household, Year, state_in_memory

ZONE = ZoneInfo("Europe/Berlin")
AWAY = {"code": "destination.unreachable", "message": "nobody answers", "hint": "", "retryable": True, "context": {}}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


def lived(schedules: list[dict[str, Any]], live: Callable[[Household], Awaitable[None]]) -> list[StoredJob]:
    """A set with these schedules from Monday, 2026-11-23, noon on; all jobs afterwards, oldest first."""

    async def whole() -> list[StoredJob]:
        with state_in_memory() as state:
            year = Year(at("2026-11-23T12:00"), 7, int(at("2026-11-23T12:00").timestamp()) * 10**9, seconds=120)
            household = Household(state, year)
            await household.begin()
            for name in ("nas", "usb"):
                await household.known.add_destination(DestinationText(name=name, place=str(state / name)))
            texts = [ScheduleText(**one) for one in schedules]
            await household.known.add_set(SetText(name="home", sources=["/etc"], to=["nas", "usb"], schedules=texts))
            await household.step()
            await live(household)
            found = await asyncio.wrap_future(household.database.read(listed, JobFilter(limit=1000)))
            await household.kill()
            return found[::-1]

    return asyncio.run(whole())


def told(jobs: list[StoredJob]) -> list[tuple[str, str | None, str]]:
    """When each began in Berlin, by which schedule, and how it stands."""
    began = (datetime.fromtimestamp((one.started_ns or one.created_ns) / 1e9, ZONE) for one in jobs)
    return [(f"{moment:%a %H:%M}", one.schedule, one.state) for moment, one in zip(began, jobs, strict=True)]


def test_a_run_that_waits_for_its_window_gives_way_to_one_that_may_work() -> None:
    """Else a set with an hourly schedule for the office has no nightly run, from Tuesday to Saturday."""
    office = {"name": "office", "every": "1h", "days": "mon,tue,wed,thu,fri", "window": "08:00-18:00"}

    async def live(household: Household) -> None:
        await household.go_to(at("2026-11-24T09:30"))

    jobs = told(lived([office, {"name": "nightly", "daily": "02:00"}], live))
    assert ("Tue 02:00", "nightly", "completed") in jobs
    assert [one for one in jobs if one[0] in ("Mon 17:00", "Tue 08:00", "Tue 09:00")] == [
        ("Mon 17:00", "office", "completed"),
        ("Tue 08:00", "office", "completed"),
        ("Tue 09:00", "office", "completed"),
    ]
    assert len(jobs) == 5 + 1 + 2


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_two_schedules_of_one_moment_are_one_run(overlap: str) -> None:
    """Else each night's run ends with a warning about an interval, or runs twice."""

    async def live(household: Household) -> None:
        await household.go_to(at("2026-11-24T02:30"))

    hourly = {"name": "often", "every": "1h", "overlap": overlap}
    jobs = lived([{"name": "nightly", "daily": "02:00"}, hourly], live)
    assert told(jobs)[-2:] == [("Tue 01:00", "often", "completed"), ("Tue 02:00", "nightly", "completed")]
    assert [one.warnings for one in jobs if one.warnings] == []


def test_a_try_at_one_destination_gives_way_to_a_whole_run_and_a_kill_changes_nothing() -> None:
    """Else the other destinations miss the run for which the try stood."""
    places = [{"name": "nas", "error": None}, {"name": "usb", "error": AWAY}]
    seen: list[list[str]] = []

    async def live(household: Household) -> None:
        household.year.outcomes.append(Outcome(exit_code=4, result={"runs": [{"destinations": places}]}, error=AWAY))
        await household.go_to(at("2026-11-23T13:04"))
        (job,) = household.jobs.live.values()
        assert job.request.backup is not None
        seen.append(job.request.backup.to)
        await household.known.change_set(
            household.known.set("home"),
            SetText(
                name="home",
                sources=["/etc"],
                to=["nas", "usb"],
                schedules=[ScheduleText(name="h", every="1h"), ScheduleText(name="soon", once="2026-11-23@13:05")],
            ),
        )
        await household.step()
        household.jobs.most = 0
        await household.go_to(at("2026-11-23T13:06"))
        await household.kill()
        await household.begin()
        (job,) = household.jobs.live.values()
        assert job.request.backup is not None
        seen.append(job.request.backup.to)
        await household.settle()

    jobs = lived([{"name": "h", "every": "1h"}], live)
    assert len(seen[0]) == 1
    assert seen[1] == []
    assert jobs[-1].schedule == "soon"


def test_tries_end_with_their_schedule() -> None:
    """Else a destination that is gone for good is asked each hour for ever."""

    async def live(household: Household) -> None:
        failed = Outcome(exit_code=15, error=AWAY)
        household.year.outcomes.extend([failed] * 3)
        await household.go_to(at("2026-11-24T02:04"))
        assert [job.stored.state for job in household.jobs.live.values()] == ["queued"]
        stored = household.known.set("home")
        off = [ScheduleText(name="nightly", daily="02:00", enabled=False)]
        await household.known.change_set(
            stored, SetText(name="home", sources=["/etc"], to=["nas", "usb"], schedules=off)
        )
        await household.step()
        await household.go_to(at("2026-11-24T09:00"))

    jobs = told(lived([{"name": "nightly", "daily": "02:00"}], live))
    assert [state for _, _, state in jobs] == ["failed", "interrupted"]


def test_a_run_of_one_day_is_not_tried_for_ever() -> None:
    async def live(household: Household) -> None:
        household.year.outcomes.extend([Outcome(exit_code=15, error=AWAY)] * 60)
        await household.go_to(at("2026-11-27T12:00"))
        assert household.jobs.live == {}

    jobs = lived([{"name": "once", "once": "2026-11-24@02:00"}], live)
    assert 20 < len(jobs) < 30


def test_what_was_missed_is_told_once_though_the_run_after_it_could_not_begin() -> None:
    """Else each minute of a full queue brings one more notice."""

    async def live(household: Household) -> None:
        household.jobs.most = 0
        whole = JobRequest(kind="backup", backup=BackupRequest())
        for _ in range(1000):
            await household.jobs.add(whole, set_id=None, set_name=None, uid=os.geteuid())
        household.year.set(at("2026-11-26T02:01"))
        for minute in range(1, 5):
            await household.scheduler.look()
            household.year.set(at(f"2026-11-26T02:0{minute + 1}"))
        for job_id in list(household.jobs.live):
            await household.jobs.cancel(job_id, "term")
        household.jobs.most = 4
        household.year.set(at("2026-11-26T02:30"))
        await household.step()

    jobs = told(lived([{"name": "nightly", "daily": "02:00", "missed": "skip"}], live))
    mine = [one for one in jobs if one[1] is not None]
    assert mine[0] == ("Wed 02:00", "nightly", "missed")
    assert [state for _, _, state in mine].count("missed") <= 2
    assert len(mine) == 2


def test_one_set_that_goes_wrong_keeps_no_other_from_its_runs() -> None:
    """A zone that the machine has lost would end all backups of the machine."""

    async def live(household: Household) -> None:
        text = SetText(
            name="a", sources=["/etc"], to=["nas"], time_zone="Nowhere/At_All",
            schedules=[ScheduleText(name="x", daily="01:00")],
        )  # fmt: skip
        broken = StoredSet(id="b" + "0" * 32, text=text, file=None, created_ns=0)
        await asyncio.wrap_future(household.database.write(rows.put_set, broken))
        await household.known.reload()
        assert household.known.sets[0].text.name == "a"
        await household.go_to(at("2026-11-24T02:30"))

    assert told(lived([{"name": "nightly", "daily": "02:00"}], live)) == [("Tue 02:00", "nightly", "completed")]
