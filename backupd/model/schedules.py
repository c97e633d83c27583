"""Schedules of a backup set as people write them (docs/schedules.md)."""

from __future__ import annotations

from typing import Literal

from backupd.model.structs import Struct, Text

WHEN = ("daily", "every", "weekly", "monthly", "once", "cron")
"""A schedule has just one of these."""


class ScheduleText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a set runs by itself, in the set's zone; one of `WHEN`."""

    name: str
    """Unique within its set."""
    daily: str | None = None
    """A time of day: `02:00`."""
    every: str | None = None
    """A number of minutes or hours that divides the day, counted from midnight: `15m`, `6h`."""
    days: str | None = None
    """With `every`: on these weekdays alone, `mon,tue`."""
    weekly: str | None = None
    """Weekdays and a time: `sat,sun@03:00`."""
    monthly: str | None = None
    """A day of the month, or a weekday of it, and a time: `1@04:00`, `last@04:00`, `last-fri@04:00`."""
    once: str | None = None
    """A date and a time: `2026-12-24@18:00`."""
    cron: str | None = None
    """Five fields, as cron has them: `30 2 * * mon-fri`."""
    enabled: bool = True
    stop_after: str | None = None
    """A duration, from one hour to a day: the run is stopped then, and goes on at the next. Not with `every`."""
    retention: bool = True
    """Whether what the policy does not keep is dropped after a good run."""
    window: str | None = None
    """Times between which its runs may work, `22:00-06:00`; else they pause and keep their place."""
    jitter: str | None = None
    """A duration: each run begins up to so much later, by chance, so that not all hosts begin at once."""
    missed: Literal["run", "skip"] = "run"
    """What becomes of a run whose time passed while nobody was there: one of them is made up for, or none."""
    overlap: Literal["skip", "queue"] = "skip"
    """What becomes of a run whose set still runs: it is passed over, or waits."""
    wake: bool = False
    """Whether the machine is woken for it."""


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule of a set."""

    set: str
    text: ScheduleText
    is_on: bool
    """Whether both it and its set are enabled."""
    time_zone: str
    next_ns: int | None
    """When its next run begins; None: never again, or it is off."""
    local: str | None
    """The same in that zone, RFC 3339."""
    owner: str | None = None
    """The machine that the set belongs to, on which alone it runs; None: this one."""


class ScheduleList(Struct, frozen=True, kw_only=True):
    """Schedules, by set and in the set's order."""

    schedules: list[ScheduleView]


class NextRun(Struct, frozen=True, kw_only=True):
    """A run to come."""

    set: str
    schedule: str
    due_ns: int
    begins_ns: int
    """Later than when it is due by what chance adds (`jitter`)."""
    time_zone: str
    local: str
    """RFC 3339 in that zone: when it begins."""
    window: str | None
    """Outside of it the run waits."""


class NextRuns(Struct, frozen=True, kw_only=True):
    """Runs to come, the soonest first."""

    runs: list[NextRun]
    without: list[str]
    """Names of those asked for that never run by themselves."""
    of_others: dict[str, str] = {}
    """The machine that each of those belongs to that are not this one's; they run there."""
