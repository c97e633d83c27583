"""The API's verbs on schedules. They are part of their set's text, and changed with it (set_routes.py)."""

from __future__ import annotations

import heapq
from datetime import datetime, tzinfo
from itertools import islice

from backupd.catalog.definitions import StoredSet
from backupd.daemon.gate import EVERYONE
from backupd.daemon.route import Call, Route
from backupd.errors import UsageError
from backupd.model.schedules import NextRun, NextRuns, ScheduleList, ScheduleText, ScheduleView
from backupd.rules.schedules.reading import Schedule, schedule_of

_RUNS = 20
_MOST_RUNS = 1000


async def list_schedules(call: Call) -> ScheduleList:
    """The schedules of the sets asked for."""
    return ScheduleList(schedules=[_view(call, one, text) for one in _sets(call) for text in one.text.schedules])


async def next_runs(call: Call) -> NextRuns:
    """The runs to come of the sets asked for, or of one schedule of theirs."""
    query, sets = call.request.query, _sets(call)
    count, name = _count(query.get("count", str(_RUNS))), query.get("schedule")
    ahead = call.services.scheduler.ahead
    each = [[_run(call, one, *found) for found in ahead.coming(one, count, name)] for one in sets]
    runs = islice(heapq.merge(*each, key=lambda run: (run.begins_ns, run.set)), count)
    without = [one.text.name for one, its in zip(sets, each, strict=True) if not its]
    others = {one.text.name: owner for one in sets if (owner := _owner(call, one)) is not None}
    return NextRuns(runs=list(runs), without=without, of_others=others)


def _owner(call: Call, stored: StoredSet) -> str | None:
    owner = call.services.definitions.owners.view(stored)
    return owner.name if not owner.is_here else None


def _view(call: Call, stored: StoredSet, text: ScheduleText) -> ScheduleView:
    ahead, is_on = call.services.scheduler.ahead, text.enabled and call.services.scheduler.ahead.runs(stored)
    zone = ahead.zone_of(stored.text)
    begins = ahead.begins(stored, schedule_of(text)) if is_on else None
    return ScheduleView(
        set=stored.text.name,
        text=text,
        is_on=is_on,
        time_zone=str(zone),
        next_ns=_ns(begins) if begins is not None else None,
        local=_local(begins, zone) if begins is not None else None,
        owner=_owner(call, stored),
    )


def _run(call: Call, stored: StoredSet, due: datetime, begins: datetime, schedule: Schedule) -> NextRun:
    zone = call.services.scheduler.ahead.zone_of(stored.text)
    text = schedule.text
    return NextRun(
        set=stored.text.name,
        schedule=text.name,
        due_ns=_ns(due),
        begins_ns=_ns(begins),
        time_zone=str(zone),
        local=_local(begins, zone),
        window=text.window,
    )


def _local(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds")


def _sets(call: Call) -> list[StoredSet]:
    known = call.services.definitions
    words = [word for word in call.request.query.get("sets", "").split(",") if word]
    return [known.set(word) for word in words] if words else list(known.sets)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= _MOST_RUNS):
        raise UsageError(f"count is {text[:20]}", hint=f"1 to {_MOST_RUNS}")
    return int(text)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


_SETS, _COUNT = ("sets",), ("sets", "count", "schedule")

ROUTES = [
    Route("GET", "/v1/schedules", "schedule list", EVERYONE, None, ScheduleList, list_schedules, "Schedules.", _SETS),
    Route("GET", "/v1/schedules/next", "schedule next", EVERYONE, None, NextRuns, next_runs, "Runs to come.", _COUNT),
]
