"""What an exported page shows of many reports, gathered one by one: ten thousand take little memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from backupd.model.reports import Report, ReportStatus

MOST_ROWS = 50
"""Of the page's tables."""
BAD: frozenset[ReportStatus] = frozenset({"failed", "missed", "interrupted", "interrupted_with_errors"})
GOOD: frozenset[ReportStatus] = frozenset({"completed", "warning"})
_GRAVITY: tuple[ReportStatus, ...] = (
    "skipped",
    "completed",
    "in_progress",
    "warning",
    "interrupted",
    "interrupted_with_errors",
    "missed",
    "failed",
)
"""Of a day the last one of these that came is shown."""

Point = tuple[float, float]
"""(seconds since 1970, value)."""


class Moved(msgspec.Struct, frozen=True):
    """Bytes of a run that told all of them."""

    at: float
    read: int
    plain: int
    """Lacking at the destination, before compression."""
    stored: int


class CopyFigures(msgspec.Struct):
    """Backups of a set to a destination, oldest first."""

    set_name: str
    destination: str
    counts: Counter[ReportStatus] = msgspec.field(default_factory=Counter)
    days: dict[int, ReportStatus] = {}
    """Days since 1970 -> the gravest that came of a run."""
    held: list[Point] = []
    seconds: list[Point] = []
    moved: list[Moved] = []
    last: Report | None = None
    last_decided: Report | None = None
    """The newest that went well or badly: what was passed over or is not at its end says neither. Also one of the set
    that came to no destination, which none of them has then."""
    last_good: Report | None = None
    source_bytes: int = 0
    """Of all good runs together: what as many full copies would take."""

    def take_day(self, day: int, status: ReportStatus) -> None:
        """Note a status of a day."""
        known = self.days.get(day)
        if known is None or _GRAVITY.index(status) > _GRAVITY.index(known):
            self.days[day] = status


class Figures:
    """Gathers reports that come newest first."""

    def __init__(self) -> None:
        self.counts: Counter[ReportStatus] = Counter()
        self.latest: list[Report] = []
        self.problems: list[Report] = []
        self.reports = self.jobs = self.problem_count = 0
        self.oldest_ns: int | None = None
        self._copies: dict[tuple[str, str], CopyFigures] = {}
        self._unplaced: list[tuple[str, int, ReportStatus]] = []
        """Of runs that came to no destination: they count for each of their set."""
        self._last_unplaced: dict[str, Report] = {}
        """Set -> the newest of them that went well or badly."""
        self._last_job = ""

    def add(self, one: Report, day: int) -> None:
        """Take one in. day: since 1970, on which it began, for who looks."""
        self.reports += 1
        self.jobs += one.job != self._last_job
        self._last_job = one.job
        self.oldest_ns = one.created_ns
        self.counts[one.status] += 1
        if len(self.latest) < MOST_ROWS:
            self.latest.append(one)
        if one.status in BAD or one.status == "warning":
            self.problem_count += 1
            if len(self.problems) < MOST_ROWS:
                self.problems.append(one)
        if one.kind != "backup" or one.set_name is None:
            return
        if one.destination is None:
            self._unplaced.append((one.set_name, day, one.status))
            if one.status in BAD | GOOD:
                self._last_unplaced.setdefault(one.set_name, one)
        else:
            self._add_to(self._copy(one.set_name, one.destination), one, day)

    def copies(self) -> Sequence[CopyFigures]:
        """All of them by set and destination; call it once, at the end."""
        with_copies = {name for name, _ in self._copies}
        for name, day, status in self._unplaced:
            if name not in with_copies:
                self._copy(name, "-")
            for copy in self._copies.values():
                if copy.set_name == name:
                    copy.take_day(day, status)
                    copy.counts[status] += 1
        found = [self._copies[key] for key in sorted(self._copies)]
        for copy in found:
            unplaced = self._last_unplaced.get(copy.set_name)
            if unplaced and (copy.last_decided is None or unplaced.created_ns > copy.last_decided.created_ns):
                copy.last_decided = unplaced
            copy.held.reverse()
            copy.seconds.reverse()
            copy.moved.reverse()
        return found

    def _copy(self, set_name: str, destination: str) -> CopyFigures:
        return self._copies.setdefault((set_name, destination), CopyFigures(set_name, destination))

    @staticmethod
    def _add_to(copy: CopyFigures, one: Report, day: int) -> None:
        copy.counts[one.status] += 1
        copy.take_day(day, one.status)
        copy.last = copy.last or one
        if one.status in BAD | GOOD:
            copy.last_decided = copy.last_decided or one
        at = (one.finished_ns or one.created_ns) / 1e9
        if one.held_bytes is not None:
            copy.held.append((at, one.held_bytes))
        if one.status not in GOOD:
            return
        copy.last_good = copy.last_good or one
        copy.source_bytes += one.bytes.seen or 0
        if one.started_ns is not None and one.finished_ns is not None:
            copy.seconds.append((at, (one.finished_ns - one.started_ns) / 1e9))
        if one.bytes.read is not None and one.plain_bytes is not None and one.stored_bytes is not None:
            copy.moved.append(Moved(at, one.bytes.read, one.plain_bytes, one.stored_bytes))
