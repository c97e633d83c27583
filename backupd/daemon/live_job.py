"""A job that has not ended: its process, who follows it, what it said."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.clock import Clock
from backupd.daemon.child import ChildJob
from backupd.daemon.following import Follower
from backupd.daemon.outcome import Outcome
from backupd.daemon.queue import Waiting
from backupd.daemon.requests import JobRequest
from backupd.model.events import Ask, FilesUnderWay, FromJob, Log, Progress, Severity, Step
from backupd.model.grafts import Graft
from backupd.model.jobs import LogLine
from backupd.model.steering import CancelRequest
from backupd.sizes import format_seconds

_MOST_UNWRITTEN = 10_000
"""Lines kept while the catalog's disk is full; the oldest go first."""
_MOST_CHARACTERS = 8192
"""Of a line's message, which may quote what a caller wrote."""


class LiveJob:
    """One job between its order and its last word."""

    def __init__(self, stored: StoredJob, request: JobRequest, clock: Clock, logged: int = 0) -> None:
        """logged: lines that its log has already, from before a restart."""
        self.stored, self.request, self._clock = stored, request, clock
        self.child: ChildJob | None = None
        self.is_begun = False
        """Whether it left the queue."""
        self.asked_to_end = False
        """Whether a caller wants its end."""
        self.ending: CancelRequest | None = None
        """What its process is told as soon as there is one."""
        self.is_cut_short = False
        """Whether that kept it from its end."""
        self.waits_for = ""
        self.is_out_of_window = False
        """Whether it was paused because its run window ended."""
        self.passed_over = 0
        """How many runs were due while it was under way, and not begun."""
        self.progress: Progress | None = None
        """The newest, without the path: that is not for all who may see the job."""
        self.files = FilesUnderWay()
        self.open_ask: Ask | None = None
        self.last_word: FromJob | None = None
        self._followers: set[Follower] = set()
        self._unwritten: deque[LogLine] = deque(maxlen=_MOST_UNWRITTEN)
        self._noted = logged
        self._step = 0
        self._step_began: float | None = None
        self.is_ended = False
        self.checked_ns = 0
        """How long periodic checks of this job and the commands before it took: its time is for storing."""
        self.found_by_check: dict[str, str] = {}
        """By destination id: what the periodic check of this job found, where that is something to look at."""
        self.checked_at: set[str] = set()
        """Ids of destinations at which this job tried a periodic check and was let in."""
        self.around: StoredSet | None = None
        """The set whose commands are run around it, once that has begun."""
        self.grafts: list[Graft] = []
        """Where its runs read what lies in snapshots of file systems."""
        self.commands: list[dict[str, Any]] = []
        """What became of them."""

    def seen(self, destinations: frozenset[str]) -> Waiting:
        """As the queue sees it. destinations: names of those with a limit at which it works."""
        caller = self.request.restore.caller if self.request.restore is not None else None
        user = caller.uid if caller is not None else None
        return Waiting(self.stored.id, self.stored.kind, self.stored.set_id, user, destinations)  # type: ignore[arg-type]

    def goes_on(self, *, was_stopped: bool) -> bool:
        """Whether a run that ended so is to be gone on with when the daemon is there again: nobody wanted its end."""
        return was_stopped and self.ending is not None and not self.asked_to_end

    def follow(self) -> Follower:
        """A new follower; it hears first where the job stands."""
        follower = Follower()
        if self.progress is not None and not self.is_ended:
            follower.add(self.progress)
        if self.open_ask is not None:
            follower.add(self.open_ask)
        if self.is_ended:
            if self.last_word is not None:
                follower.add(self.last_word)
            follower.end()
        else:
            self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """The follower went away."""
        self._followers.discard(follower)

    def hear(self, event: FromJob) -> None:
        """Take in what the process said, but its last word."""
        if isinstance(event, FilesUnderWay):
            # For who asks: names of files are not for all who may follow a job.
            self.files = event
            return
        if isinstance(event, Progress):
            self.progress = msgspec.structs.replace(event, current=None)
        elif isinstance(event, Step):
            self.begin_step(event.name)
        elif isinstance(event, Log):
            self.note(event.severity, event.message, event.path)
        elif isinstance(event, Ask):
            self.open_ask = event
        for follower in self._followers:
            follower.add(event)

    def begin_step(self, name: str) -> None:
        """The next step of the job begins; the log numbers and times them."""
        self.end_step()
        self._step += 1
        self._step_began = self._clock.monotonic()
        self.note("information", f"step {self._step}: {name}", None)

    def end_step(self) -> None:
        """The step under way is over: its time goes into the log."""
        if self._step_began is not None:
            took = self._clock.monotonic() - self._step_began
            self.note("information", f"step {self._step} took {format_seconds(took)}", None)
            self._step_began = None

    def log(self, severity: Severity, message: str) -> None:
        """A line of the daemon's own, for the log and for all who follow."""
        self.hear(Log(severity=severity, message=message, verbosity=1))

    def settle(self, outcome: Outcome, warnings: list[str], finished_ns: int) -> None:
        """What is stored of it says how it ended."""
        stored = self.stored
        stored.exit_code, stored.result, stored.error = outcome.exit_code, outcome.result, outcome.error
        stored.warnings, stored.finished_ns = warnings, finished_ns
        if stored.kind != "backup":
            # Nobody needs it any more, and it may be large.
            stored.orders = b""

    def end(self, last: FromJob | None) -> None:
        """The last word; None: the job goes on with another daemon."""
        self.is_ended, self.last_word = True, last
        for follower in self._followers:
            if last is not None:
                follower.add(last)
            follower.end()
        self._followers.clear()

    def take_unwritten(self) -> list[LogLine]:
        """Log lines since the last call."""
        lines = list(self._unwritten)
        self._unwritten.clear()
        return lines

    def put_back(self, lines: list[LogLine]) -> None:
        """Lines that could not be written yet."""
        self._unwritten = deque([*lines, *self._unwritten], maxlen=_MOST_UNWRITTEN)

    def note(self, severity: Severity, message: str, path: bytes | None = None) -> None:
        """A line for the log alone."""
        self._noted += 1
        self._unwritten.append(
            LogLine(
                n=self._noted,
                time_ns=self._clock.now_ns(),
                severity=severity,
                message=message[:_MOST_CHARACTERS],
                step=self._step,
                path=path,
            )
        )

    def progress_json(self) -> dict[str, Any] | None:
        """The newest progress, fit for JSON."""
        if self.progress is None:
            return None
        return {n: getattr(self.progress, n) for n in self.progress.__struct_fields__ if n != "current"}
