"""When sets run by themselves: their zones, the runs to come, the longest time between two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from typing import Any

from backupd.catalog.definitions import StoredSet
from backupd.clock import Clock, to_datetime
from backupd.errors import ConfigError, UsageError
from backupd.model.schedules import ScheduleText
from backupd.model.sets import SetText
from backupd.rules.schedules import coming
from backupd.rules.schedules.deciding import next_begin
from backupd.rules.schedules.reading import Schedule, schedule_of
from backupd.rules.schedules.words import shown_moment
from backupd.settings.zone import is_zone, zone_or_own

Decided = Callable[[str, ScheduleText], datetime | None]
"""Set id and schedule -> up to when it is decided what that schedule asks for; None: it was not looked at yet."""


class ComingRuns:
    """Looks ahead; decides nothing."""

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str],
        decided: Decided,
        runs: Callable[[StoredSet], bool] = lambda stored: stored.text.enabled,
    ) -> None:
        """runs: whether a set runs by itself at all."""
        self._clock, self._environment, self._decided, self.runs = clock, environment, decided, runs
        self._default_zone: str | None = None
        self._zones: dict[str | None, tzinfo] = {}
        self._unknown: set[str] = set()
        """Names of zones that nobody knows here."""
        self._gaps: dict[str, tuple[tuple[Any, ...], timedelta | None]] = {}

    def adopt(self, default_zone: str | None) -> None:
        """Take a new default zone over, and look again which one the system has."""
        self._default_zone = default_zone
        self._zones.clear()
        self._unknown.clear()

    def now(self) -> datetime:
        """What the clock shows, UTC."""
        return to_datetime(self._clock.now_ns())

    def zone_of(self, text: SetText) -> tzinfo:
        """The zone that a set's times are meant in; the machine's own where nobody knows it here (any more)."""
        name = text.time_zone or self._default_zone
        if name not in self._zones:
            self._zones[name] = zone_or_own(name, self._environment)
            if name is not None and not is_zone(name):
                self._unknown.add(name)
        return self._zones[name]

    def warnings(self, sets: Iterable[StoredSet]) -> list[str]:
        """A sentence for each set whose zone nobody knows here."""
        return [
            f"{one.text.name}: '{one.text.time_zone}' is no time zone that is known here, it goes by {zone}; "
            f"give it another: bkctl set edit {one.text.name} --time-zone"
            for one, zone in [(one, self.zone_of(one.text)) for one in sets]
            if one.text.time_zone in self._unknown
        ]

    def schedules_of(self, stored: StoredSet) -> list[Schedule]:
        """Those of a set that are on, as they were understood."""
        if not self.runs(stored):
            return []
        return [schedule_of(one) for one in stored.text.schedules if one.enabled]

    def begins(self, stored: StoredSet, schedule: Schedule) -> datetime | None:
        """When the next run of a schedule that is on begins; None: never again."""
        handled = self._decided(stored.id, schedule.text) or self.now()
        return next_begin(schedule, stored.id, handled, self.zone_of(stored.text))

    def coming(self, stored: StoredSet, count: int, name: str | None) -> Iterator[tuple[datetime, datetime, Schedule]]:
        """The next runs of a set: when due, when begun, and of which schedule. name: of one schedule alone."""
        wanted = [one for one in self.schedules_of(stored) if name in (None, one.text.name)]
        for due, schedule in islice(coming.coming(wanted, self.now(), self.zone_of(stored.text)), count):
            yield due, due + coming.jitter_of(schedule, stored.id, due), schedule

    def next_of(self, stored: StoredSet) -> tuple[int, str] | None:
        """When a set runs next, as nanoseconds, and by which schedule; None: not by itself."""
        begins = [(self.begins(stored, one), one.text.name) for one in self.schedules_of(stored)]
        found = [(moment, name) for moment, name in begins if moment is not None]
        if not found:
            return None
        moment, name = min(found)
        return int(moment.timestamp()) * 1_000_000_000, name

    def longest_gap(self, stored: StoredSet) -> timedelta | None:
        """The longest time between two runs of a set; None: it does not run twice by itself."""
        zone = self.zone_of(stored.text)
        rules = (str(zone), self.runs(stored), *stored.text.schedules)
        known = self._gaps.get(stored.id)
        if known is None or known[0] != rules:
            gap = coming.longest_gap(self.schedules_of(stored), self.now(), zone)
            self._gaps[stored.id] = known = (rules, gap)
        return known[1]

    def gap_of(self, text: SetText) -> timedelta | None:
        """The longest time between two runs by what a text says, whoever runs it."""
        schedules = [schedule_of(one) for one in text.schedules if one.enabled]
        return coming.longest_gap(schedules, self.now(), self.zone_of(text))

    def refuse_past(self, text: SetText, old: SetText) -> None:
        """Raises ConfigError for a new schedule of one day that is over. old: the set's text so far."""
        try:
            zone = self.zone_of(text)
            new = [one for one in text.schedules if one.once is not None and one not in old.schedules]
            read = [(one, schedule_of(one)) for one in new]
        except UsageError:
            # It is refused, with its place in the text, where all of the set is checked.
            return
        for one, schedule in read:
            if one.enabled and schedule.timetable.next_after(self.now(), zone) is None:
                hint = f"it is {shown_moment(self.now(), zone)} now; give a later day"
                raise ConfigError(f"{text.name}: schedule {one.name}: {one.once} is over", hint=hint)
