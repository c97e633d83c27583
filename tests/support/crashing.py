"""A machine, a source and a place to which a crash can happen, and the oracle that says whether anything was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from backupd.errors import (
    BackupError,
    DestinationUnreachableError,
    KeyMissingError,
    RepositoryNotFoundError,
    WrongKeyError,
)
from backupd.model.orders import BackupOrder, CheckOrder, Limits, Order, Unlock
from tests.support.disk_states import Disk, check_complete
from tests.support.disk_trace import Fault, Trace, record
from tests.support.ledger import Ledger
from tests.support.machine import LaterClock, Machine
from tests.support.stored_trees import StoredTree, read_stored


@dataclass
class Scene:
    """What a crash happens to: place and home of one machine. The source lies apart and stays as it is."""

    above: Path
    random: Random
    clock: LaterClock = field(default_factory=LaterClock)
    good: dict[str, str] = field(default_factory=dict)
    """The ledger: snapshots that a run reported as good, and the hash of what each gives back."""
    repeat: Callable[[], int] | None = None
    """What is broken off and has to be given again before anything can be read."""
    freeing: Callable[[], int] | None = None
    """What is broken off and is given again some time: before or after the next run, as it is drawn."""
    may_go: set[str] = field(default_factory=set)
    """Snapshots that what is broken off drops: they are there or not, and so nobody asks for them."""

    def __post_init__(self) -> None:
        """Make the source."""
        self.source, self.place = self.above / "source", self.above / "place"
        self.machine = Machine(self.above / "home")
        self.ledger = Ledger(self.machine, self.place)
        self.source.mkdir()
        self.machine.home.mkdir()

    def write(self, name: str, size_bytes: int) -> None:
        """A file of the source with bytes that nothing else has."""
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.random.randbytes(size_bytes))

    def run(self, order: Order) -> int:
        """Carry an order out, each later than the one before; its exit code."""
        self.clock.ahead_seconds += 120
        try:
            return self.machine.run(order, self.clock).done.exit_code
        except BackupError as error:
            return error.exit_code

    def back_up(self, unlock: Unlock | None = None) -> int:
        """As `bkctl once source --to place`."""
        return self.run(backup_order(self.source, self.place, unlock or Unlock()))

    def note_what_is_there(self) -> None:
        """What is complete now was reported as good, but for what may go."""
        self.good = self._complete(Unlock())

    def hash_of_source(self) -> str:
        """What a snapshot of the source gives back: by another machine at another place."""
        other, place = Machine(self.above / "other home"), self.above / "other place"
        other.run(backup_order(self.source, place, Unlock()))
        (tree,) = read_stored(other, place).values()
        return tree.digest

    def record(self, function: Callable[[], int], fault: Fault | None = None) -> tuple[Disk, Trace]:
        """The disk before it and the trace of a function that changes place and home."""
        roots = (self.place, self.machine.home)
        before = Disk(map(str, roots))
        before.load()
        trace = record(roots, function, fault)
        again = Disk(map(str, roots))
        again.take(before)
        check_complete(trace, again)
        return before, trace

    def check_reported(self, last: str) -> None:
        """A run said that it is good: then a snapshot is there that was not, and gives the source back."""
        complete = self._complete(Unlock())
        assert [complete[name] for name in complete.keys() - self.good.keys()] == [last], "reported, but not stored"

    def check_nothing_lost(self, last: str, secrets: Sequence[Unlock]) -> None:
        """The oracle at a disk that a crash left. last: hash of the source as it is now; one of the secrets opens."""
        if self.repeat is not None:
            assert self.repeat() == 0, "the same command can't be given again"
        unlock = self._what_opens(secrets)
        complete = self._complete(unlock)
        lost = {name for name, digest in self.good.items() if complete.get(name) != digest}
        assert not lost, f"lost or changed: {lost}"
        unknown = complete.keys() - self.good.keys()
        assert len(unknown) <= 1, f"nobody reported {unknown}"
        assert all(complete[name] == last for name in unknown), "what was in flight is not the source"
        is_first = self.random.random() < 0.5
        if self.freeing is not None and is_first:
            assert self.freeing() == 0, "the next freeing needs help"
        assert self.back_up(unlock) == 0, "the next run needs help"
        if self.freeing is not None and not is_first:
            assert self.freeing() == 0, "the freeing after the next run needs help"
        after = self._complete(unlock)
        new = [digest for name, digest in after.items() if name not in complete]
        assert new == [last], "the next run did not store the source"
        assert complete.items() <= after.items(), "the next run lost a snapshot"
        check = CheckOrder(place=str(self.place), crc=True, unlock=unlock, limits=Limits(jobs=1, polite=False))
        assert self.run(check) == 0, "check finds damage"
        assert not self.ledger.leftovers(), self.ledger.leftovers()

    def _what_opens(self, secrets: Sequence[Unlock]) -> Unlock:
        for unlock in secrets[:-1]:
            try:
                read_stored(self.machine, self.place, unlock)
            except (KeyMissingError, WrongKeyError):
                continue
            return unlock
        return secrets[-1]

    def _complete(self, unlock: Unlock) -> dict[str, str]:
        found = self._listed(unlock).items()
        return {name: tree.digest for name, tree in found if tree.is_complete and name not in self.may_go}

    def _listed(self, unlock: Unlock) -> dict[str, StoredTree]:
        try:
            return read_stored(self.machine, self.place, unlock)
        except (RepositoryNotFoundError, DestinationUnreachableError):
            return {}
        except BackupError as error:
            raise AssertionError(f"what is stored can't be read: {error.code} {error.message}") from error


def backup_order(source: Path, place: Path, unlock: Unlock) -> BackupOrder:
    """Of all that the source holds."""
    limits = Limits(jobs=1, polite=False)
    return BackupOrder(place=str(place), sources=[bytes(source)], set_name="docs", limits=limits, unlock=unlock)
