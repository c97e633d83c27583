"""What every operation works with: clocks, directories, the client that is told and asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from backupd.cancel import Cancel
from backupd.clock import Clock, to_datetime
from backupd.destination.contract import Store
from backupd.destination.stores import local_path, open_store
from backupd.errors import AnswerNeededError, BackupError, StoppedError
from backupd.model import events
from backupd.model.orders import Order
from backupd.model.places import is_url
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.operations.meters import Meters
from backupd.rights import Rights
from backupd.settings import directories
from backupd.settings.directories import Directories
from backupd.settings.host import Host, read_host
from backupd.settings.machine import machine_fingerprint
from backupd.settings.zone import is_zone, zone_or_own
from backupd.source.user_rights import OWN_RIGHTS

_MOST_WARNINGS = 1000
_TOLD_PAUSE_SECONDS = 3.0
_BETWEEN_TOLD_SECONDS = 20.0
_PROGRESS_SECONDS = 0.25
_PAUSE_SECONDS = 0.2

_COPIED = (
    "this machine's state of backupd was copied from another machine, or is shared with one: from now on it counts as a"
    " host of its own; sets that came with a daemon's state still write into the same backups: docs/operations.md"
)

Send = Callable[[events.FromJob], None]


class JobContext:
    """The surroundings of one job. `tell`, `progress` and `ask` may be called from any thread."""

    def __init__(
        self,
        order: Order,
        clock: Clock,
        cancel: Cancel,
        environ: Mapping[str, str],
        found: Directories,
        send: Send,
    ) -> None:
        self.order, self.clock, self.cancel = order, clock, cancel
        self.directories = self.own_directories = found
        """Those of this step of the order, and those of all of it."""
        self.environ = environ
        self.rights = Rights(order.caller)
        self.source_rights = OWN_RIGHTS
        """With which the sources of a backup are read."""
        self.zone: tzinfo = zone_or_own(order.time_zone, environ)
        self._send = send
        self._host: Host | None = None
        self._lock = threading.Lock()
        self._last_progress = self._next_told = 0.0
        self._began = clock.monotonic()
        self._answers: dict[int, str] = {}
        self._asked = 0
        self._told_moved: set[str] = set()
        self._answered = threading.Condition()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._paused_seconds = 0.0
        self.warnings: list[str] = []
        if order.time_zone is not None and not is_zone(order.time_zone):
            self.warnings.append(f"'{order.time_zone}' is no time zone that is known here: {self.zone} is taken")
        self._told_limits: set[str] = set()
        self.alarm: BackupError | None = None
        """Snapshots that this host has seen are gone: the job does what it can, and ends with this."""
        self.wants_progress = threading.Event()
        self.meters = Meters()
        """What is asked of each place."""

    @property
    def host(self) -> Host:
        """This machine; ids are drawn when first needed."""
        if self._host is None:
            self._host = read_host(self.directories.state, machine_fingerprint())
            if self._host.is_new_copy:
                self.warn(_COPIED)
        return self._host

    @property
    def now(self) -> datetime:
        """Aware UTC."""
        return to_datetime(self.clock.now_ns())

    @property
    def elapsed_seconds(self) -> float:
        """Since the job began."""
        return self.clock.monotonic() - self._began

    def work_for_caller(self) -> None:
        """From here on do all with the rights of the order's caller, if it has one. Raises RoleError, AccessError.

        What is ours is read first. Caches and temporary files then lie in a directory of this run, which is the
        caller's; only keys and the place are still read with our own rights.
        """
        if self.order.caller is None:
            return
        self._host = self.host
        self.rights.lower()
        self.directories = self.own_directories = directories.private(
            self.directories.config, self.directories.data, self.environ
        )

    def tell(self, severity: events.Severity, message: str, *, path: bytes | None = None, verbosity: int = 0) -> None:
        """Send a log line."""
        self.send(events.Log(severity=severity, message=message, path=path, verbosity=verbosity))

    def step(self, name: str) -> None:
        """Say which step begins."""
        self.send(events.Step(name=name))

    def warn(self, message: str) -> None:
        """Send a warning that the result repeats; after a thousand no more, for who means harm makes them by names."""
        if len(self.warnings) > _MOST_WARNINGS:
            return
        if len(self.warnings) == _MOST_WARNINGS:
            message = f"there are more than {_MOST_WARNINGS} warnings; no further ones are told"
        self.warnings.append(message)
        self.tell("warning", message)

    def open_store(
        self, address: str, tag: str, access: StoreAccess, *, create: bool = False, cancel: Cancel | None = None
    ) -> Store:
        """Open a place: it ends with the job, or that part of it; its limits, and pauses where it fails, are told."""
        for line in (line for pace in access.paces() for line in pace.told):
            if line not in self._told_limits:
                self._told_limits.add(line)
                self.tell("information", line)
        self._tell_moved(address, access)
        return open_store(
            address,
            tag,
            access,
            create=create,
            cancel=cancel or self.cancel,
            told=self._tell_pause,
            warn=self._warn_once,
            meter=self.meters.of(address),
        )

    def _warn_once(self, message: str) -> None:
        """A pool is opened several times in a job, and says each time which member is away."""
        if message not in self.warnings:
            self.warn(message)

    def _tell_moved(self, address: str, access: StoreAccess) -> None:
        """Say once where a drive is that is mounted elsewhere than it was."""
        if is_url(address) or access.volume is None or address in self._told_moved:
            return
        self._told_moved.add(address)
        directory = local_path(address, access)
        if directory != local_path(address, NO_ACCESS):
            self.tell("information", f"{address}: its drive is mounted elsewhere now, and is used in {directory}")

    def _tell_pause(self, error: BackupError, seconds: float) -> None:
        now = self.clock.monotonic()
        if seconds >= _TOLD_PAUSE_SECONDS and now >= self._next_told:
            # Several calls wait for one store; one line in a while is enough.
            self._next_told = now + _BETWEEN_TOLD_SECONDS
            self.tell("warning", f"{error.message}; tried again in {seconds:.0f} s")

    def progress(self, make: Callable[[float], events.Progress]) -> bool:
        """Send where the job stands, four times a second at most; `make` gets the seconds it was at work.

        Whether it was time for it.
        """
        now = self.clock.monotonic()
        if now - self._last_progress >= _PROGRESS_SECONDS or self.wants_progress.is_set():
            self._last_progress = now
            self.wants_progress.clear()
            self.send(make(now - self._began - self._paused_seconds))
            return True
        return False

    def send(self, event: events.FromJob) -> None:
        """Send any event."""
        with self._lock:
            self._send(event)

    def stop_after(self, seconds: int | None) -> None:
        """Have the job stop then, as if somebody had asked for it; None: never."""
        if seconds is not None:
            error = StoppedError("the time given by --stop-after is over")
            timer = threading.Timer(seconds, lambda: self.cancel.request(error))
            timer.daemon = True
            timer.start()

    def pause(self, *, is_paused: bool) -> None:
        """Have the job wait at its next turn, or go on; called by the thread that reads from the client."""
        if is_paused:
            self._goes_on.clear()
        else:
            self._goes_on.set()

    @property
    def is_paused(self) -> bool:
        """Whether the client wants it paused."""
        return not self._goes_on.is_set()

    def wait_while_paused(
        self, begin: Callable[[], None] = lambda: None, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Wait here as long as the client wants the job paused; the one place where jobs do.

        begin: called once when the waiting begins; tick: several times a second, for what must go on meanwhile.
        Raises the cancel's error, and what the two raise.
        """
        if self._goes_on.is_set():
            return
        since = self.clock.monotonic()
        begin()
        while not self._goes_on.wait(_PAUSE_SECONDS):
            self.cancel.check()
            tick()
        self._paused_seconds += self.clock.monotonic() - since

    def ask(self, question: str, kind: Any, expected: str = "", details: list[str] | None = None) -> str:
        """Ask the client and wait. Raises AnswerNeededError where nobody can answer, the cancel's error meanwhile.

        `--yes` answers what names nothing to type, `--confirm` what names just that.
        """
        if self.order.confirmed == expected if expected else self.order.assume_yes:
            return {"one_by_one": "all", "typed": expected}.get(kind, "yes")
        if not self.order.interactive:
            raise AnswerNeededError(
                question,
                hint=f"give --confirm {expected}" if expected else "give --yes",
                context={"confirm": expected} if expected else {},
            )
        with self._answered:
            self._asked += 1
            number = self._asked
        details = details or []
        self.send(events.Ask(ask=number, question=question, kind=kind, expected=expected, details=details))
        with self._answered:
            while number not in self._answers:
                self._answered.wait(0.2)
                self.cancel.check()
            return self._answers.pop(number)

    def answer(self, number: int, text: str) -> None:
        """Take in the client's answer; called by the thread that reads from it."""
        with self._answered:
            self._answers[number] = text
            self._answered.notify_all()


def error_fields(error: BackupError) -> dict[str, Any]:
    """An error as JSON output shows it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "context": error.context,
    }
