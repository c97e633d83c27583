"""One machine with directories of its own: operations in this process, or `bkctl` as its user would start it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backupd.cancel import Cancel
from backupd.clock import Clock, SystemClock
from backupd.house import run
from backupd.model import events
from backupd.model.orders import Order, SnapshotListOrder
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.repository.records import Records
from backupd.settings import directories
from tests.support import bkctl_here

TOP = Path(__file__).parents[2]
PLUGINS = TOP / "tests" / "support" / "plugins"
"""What the programs find as installed packages besides: the store of faulty_store.py."""
PYTHON_PATH = f"{TOP}:{PLUGINS}"


@dataclass
class Outcome:
    """What one operation said."""

    done: events.Done
    items: list[dict[str, Any]] = field(default_factory=list)
    data: bytes = b""
    log: list[events.Log] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        """The result document."""
        return self.done.result


@dataclass
class LaterClock:
    """The machine's clocks, the wall clock some seconds ahead: what was just written is old to a run by this clock."""

    ahead_seconds: float = 3600.0

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return SystemClock().now_ns() + int(self.ahead_seconds * 1_000_000_000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return SystemClock().monotonic()


@dataclass
class Machine:
    """Somewhere with a home; two of them share nothing but the places they are told."""

    home: Path
    path: str = "/usr/bin:/bin"

    @property
    def environ(self) -> dict[str, str]:
        """What its programs see."""
        names = {"DATA": "data", "STATE": "state", "CACHE": "cache", "CONFIG": "config"}
        below = {f"XDG_{name}_HOME": str(self.home / folder) for name, folder in names.items()}
        return {**below, "HOME": str(self.home), "PATH": self.path, "PYTHONPATH": PYTHON_PATH, "TZ": "UTC"}

    @property
    def keys(self) -> Path:
        """The key directory."""
        return self.home / "data" / "backupd" / "keys"

    def run(self, order: Order, clock: Clock | None = None) -> Outcome:
        """Carry out an order here, at another time than now if a clock says so. Raises BackupError."""
        sent: list[events.FromJob] = []
        done = run(order, self._context(order, clock, sent.append))
        items = [event.item for event in sent if isinstance(event, events.Item)]
        log = [event for event in sent if isinstance(event, events.Log)]
        return Outcome(done, items, b"".join(event.data for event in sent if isinstance(event, events.Data)), log)

    def records(self, place: str, clock: Clock | None = None, access: StoreAccess = NO_ACCESS) -> Records:
        """Of the repository at a place as it is now. Raises BackupError."""
        order = SnapshotListOrder(place=place, access=access)
        return open_place(self._context(order, clock, lambda _: None)).records

    def _context(self, order: Order, clock: Clock | None, tell: Callable[[events.FromJob], None]) -> JobContext:
        self.home.mkdir(exist_ok=True)
        found = directories.find(self.environ)
        return JobContext(order, clock or SystemClock(), Cancel(), self.environ, found, tell)

    def bkctl(
        self, *words: str | Path, stdin: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Start `bkctl` with these words."""
        self.home.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "bkctl", *map(str, words)]
        environ = {**self.environ, **(variables or {})}
        return subprocess.run(command, input=stdin, capture_output=True, env=environ, check=False, cwd=self.home)

    def json(self, *words: str | Path, stdin: bytes | None = None) -> dict[str, Any]:
        """Its document with `--json`; in this process where that can be."""
        self.home.mkdir(exist_ok=True)
        if stdin is not None or not bkctl_here.can_run():
            done = self.bkctl(*words, "--json", stdin=stdin or b"")
        else:
            done = bkctl_here.bkctl([*map(str, words), "--json"], self.environ, self.home)
        document: dict[str, Any] = json.loads(done.stdout)
        return document
