"""A source, a place and a machine, for tests that look at what `once` does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backupd.model.orders import BackupOrder, Limits, RestoreOrder, Selection
from tests.support.compare import compare_trees
from tests.support.machine import LaterClock, Machine, Outcome
from tests.support.truth import Truth


@dataclass
class Bench:
    """Runs orders of one machine, each later than the one before."""

    above: Path
    source: Path = field(init=False)
    clock: LaterClock = field(default_factory=LaterClock)

    def __post_init__(self) -> None:
        """Name the directories; only the source is made."""
        self.source = self.above / "source"
        self.place = self.above / "place"
        self.machine = Machine(self.above / "home")
        self.truth = Truth(self.machine, self.place)
        self._restored = 0
        self.source.mkdir(exist_ok=True)

    def order(self, **options: Any) -> BackupOrder:
        """An order to back the source up."""
        options = {"sources": [bytes(self.source)], "limits": Limits(jobs=1, polite=False), **options}
        order: BackupOrder = BackupOrder(place=str(self.place), **options)
        return order

    def back_up(self, **options: Any) -> Outcome:
        """A run to which all that was written before it is old enough to be trusted."""
        self.clock.ahead_seconds += 120
        return self.machine.run(self.order(**options), self.clock)

    def back_up_now(self, **options: Any) -> Outcome:
        """A run by the machine's clock."""
        return self.machine.run(self.order(**options))

    def once(self, *words: str | Path) -> dict[str, Any]:
        """The document of `bkctl once` of the source."""
        return self.machine.json("once", self.source, "--to", self.place, *words)

    def restore(self, **options: Any) -> Path:
        """Restore the newest snapshot into a new directory; where the source lies in it."""
        self._restored += 1
        target = self.above / f"restored{self._restored}"
        selection = Selection(**{"set_name": options.pop("set_name", None)})
        self.machine.run(RestoreOrder(place=str(self.place), selection=selection, to=bytes(target), **options))
        return target / str(self.source)[1:]

    def differences(self) -> list[str]:
        """What a restore of the newest snapshot has otherwise than the source."""
        return compare_trees(self.source, self.restore())

    def write(self, name: str, data: bytes = b"some bytes") -> Path:
        """Make a file of the source and the directories above it."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def stored_bytes(self, folder: str = "blocks") -> int:
        """Bytes of the objects of a kind at the place."""
        return sum(path.stat().st_size for path in self.place.glob(f"r*/{folder}/**/*") if path.is_file())


def run_of(outcome: Outcome) -> dict[str, Any]:
    """The one run of a result."""
    (run,) = outcome.result["runs"]
    found: dict[str, Any] = run
    return found


NO_MORE = {"attributes": 0, "failed": 0}
"""What a run counts of files besides, where only contents changed and all of it could be read."""


def counts(outcome: Outcome) -> dict[str, int]:
    """What the run counted of files."""
    found: dict[str, int] = run_of(outcome)["files"]
    return found


def read_bytes(outcome: Outcome) -> int:
    """What the run read of the source."""
    return int(run_of(outcome)["bytes"]["read"])


def problems(outcome: Outcome) -> list[dict[str, str]]:
    """The problems that the run named."""
    found: list[dict[str, str]] = run_of(outcome)["problems"]["first"]
    return found


def fingerprint(root: Path) -> str:
    """A hash over names, kinds, times and bytes of a tree."""
    digest = hashlib.blake2b()
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        digest.update(repr((str(path), stat.st_mode, stat.st_size, stat.st_mtime_ns)).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()
