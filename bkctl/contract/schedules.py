"""Results about schedules."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.parts import Changed, Nothing, Shown, Time


class ScheduleSettings(Shown, kw_only=True):
    """A schedule; one of daily, every, weekly, monthly, once, cron says when."""

    name: str
    daily: str | None
    every: str | None
    days: str | None
    weekly: str | None
    monthly: str | None
    once: str | None
    cron: str | None
    enabled: bool
    stop_after: str | None
    retention: bool
    window: str | None
    jitter: str | None
    missed: Literal["run", "skip"]
    overlap: Literal["skip", "queue"]
    wake: bool


class ScheduleOfSet(ScheduleSettings, kw_only=True):
    """A schedule of a set."""

    set: str
    is_on: bool
    """Whether both it and its set are enabled."""
    time_zone: str
    begins: Time | None
    """Its next run."""
    owner: str | None
    """The machine that the set belongs to, which alone runs it; null: this one."""


class ScheduleList(Shown, kw_only=True):
    """Schedules by set."""

    schedules: list[ScheduleOfSet]
    next: Nothing


class RunToCome(Shown, kw_only=True):
    """A run to come."""

    set: str
    schedule: str
    begins: Time
    """In the set's zone."""
    due: Time
    """Without what chance adds."""
    time_zone: str
    window: str | None


class SetOfOther(Shown, kw_only=True):
    """A set that another machine runs."""

    set: str
    owner: str


class RunsToCome(Shown, kw_only=True):
    """Runs to come, the soonest first."""

    runs: list[RunToCome]
    without: list[str]
    """Sets that never run by themselves."""
    of_others: list[SetOfOther]
    next: Nothing


class ChangedSchedule(Changed, kw_only=True):
    """A schedule that was added, changed or removed."""

    set: str
    schedule: ScheduleSettings | None
    """As it is now; null: it was removed."""
    runs: list[RunToCome]
    """Its next three."""
