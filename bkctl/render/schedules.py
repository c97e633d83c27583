"""Schedules and runs to come, as text and as JSON output shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from backupd.model.schedules import WHEN, NextRun, NextRuns, ScheduleList, ScheduleText, ScheduleView
from bkctl.render.table import table
from bkctl.render.times import rfc3339

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def when(text: ScheduleText) -> str:
    """When it runs, as `weekly sat,sun@03:00`."""
    kind = next(kind for kind in WHEN if getattr(text, kind) is not None)
    return f"{kind} {getattr(text, kind)}" + f" on {text.days}" * bool(text.days)


def ways(text: ScheduleText) -> list[str]:
    """What else it says, where that is not the default."""
    words = [f"stops after {text.stop_after}"] if text.stop_after else []
    words += [f"works {text.window}"] if text.window else []
    words += [f"up to {text.jitter} later"] if text.jitter else []
    words += ["retention off"] if not text.retention else []
    words += ["missed runs are skipped"] if text.missed == "skip" else []
    words += ["waits for a run under way"] if text.overlap == "queue" else []
    words += ["wakes the machine"] if text.wake else []
    return words


def sentence(text: ScheduleText) -> str:
    """All of a schedule."""
    head = f"schedule {text.name} is {'on' if text.enabled else 'off'}: {when(text)}"
    return ", ".join([head, *ways(text)])


def change_lines(
    name: str, old: Sequence[ScheduleText], new: Sequence[ScheduleText], *, is_dry: bool
) -> list[str]:
    """What became of a set's schedules."""
    before, after = {one.name: one for one in old}, {one.name: one for one in new}
    lines: list[str] = []
    for one in new:
        former = before.get(one.name)
        if former != one:
            was = f" (was: {when(former)})" if former is not None and when(former) != when(one) else ""
            lines.append(f"{name}: {'would be: ' if is_dry else ''}{sentence(one)}{was}.")
    verb = "would be removed" if is_dry else "is removed"
    lines += [f"{name}: schedule {one.name} {verb}." for one in old if one.name not in after]
    return lines or [f"{name}: nothing to change."]


def fields(text: ScheduleText) -> dict[str, Any]:
    """A schedule's settings, the defaults too."""
    return {name: msgspec.to_builtins(getattr(text, name)) for name in text.__struct_fields__}


def document(found: ScheduleView) -> dict[str, Any]:
    """A schedule as JSON output shows it."""
    return {
        "set": found.set,
        **fields(found.text),
        "is_on": found.is_on,
        "time_zone": found.time_zone,
        "begins": found.local,
        "owner": found.owner,
    }


def run(one: NextRun) -> dict[str, Any]:
    """A run to come as JSON output shows it."""
    return {
        "set": one.set,
        "schedule": one.schedule,
        "begins": one.local,
        "due": rfc3339(one.due_ns),
        "time_zone": one.time_zone,
        "window": one.window,
    }


def coming(found: NextRuns) -> dict[str, Any]:
    """Runs to come as JSON output shows them."""
    of_others = [{"set": name, "owner": owner} for name, owner in found.of_others.items()]
    return {"runs": [run(one) for one in found.runs], "without": found.without, "of_others": of_others, "next": None}


def list_lines(found: ScheduleList, words: Sequence[str]) -> list[str]:
    """A table."""
    if not found.schedules:
        name = words[0] if words else "SET"
        return [f"No schedule yet. Add one: bkctl schedule add {name} --daily 02:00"]
    rows = [
        [
            one.set,
            one.text.name,
            when(one.text),
            ", ".join(ways(one.text)) or "-",
            _next(one),
        ]
        for one in found.schedules
    ]
    return table(["SET", "SCHEDULE", "WHEN", "HOW", "NEXT"], rows)


def _next(one: ScheduleView) -> str:
    if one.owner is not None:
        return f"on {one.owner}"
    if one.local is None:
        return "never" if one.is_on else "off"
    return f"{_local(one.local)} {one.time_zone}"


def coming_lines(found: NextRuns) -> list[str]:
    """A table, in each set's zone."""
    rows = [[_local(one.local), one.time_zone, one.set, one.schedule, _held(one)] for one in found.runs]
    lines = table(["BEGINS", "ZONE", "SET", "SCHEDULE", ""], rows) if rows else []
    without = [name for name in found.without if name not in found.of_others]
    if without:
        lines.append(f"Never by themselves: {', '.join(without)}. bkctl schedule add SET --daily 02:00")
    if found.of_others:
        said = ", ".join(f"{name} (on {owner})" for name, owner in found.of_others.items())
        lines.append(f"Of other machines, which run them: {said}")
    return lines or ["No set yet. Make one: bkctl set create NAME --source PATH --to DIRECTORY"]


def next_lines(name: str, runs: Sequence[NextRun]) -> list[str]:
    """When a schedule runs next."""
    if not runs:
        return [f"It does not run now. All runs to come: bkctl schedule next {name}"]
    times = [f"{_local(one.local)}" for one in runs]
    return [f"Next: {', '.join(times)} ({runs[0].time_zone}). All: bkctl schedule next {name}"]


def _held(one: NextRun) -> str:
    return f"works {one.window}" if one.window else ""


def _local(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{_WEEKDAYS[moment.weekday()]} {moment.strftime('%Y-%m-%d %H:%M')}"
