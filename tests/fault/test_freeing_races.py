"""Who sleeps in the middle of a step and wakes when others have gone on (RELIABILITY D5): nothing is lost.

Two machines share a repository in memory; one of them stands still at a drawn call to the store, while the other one
backs up, drops and frees. Then it goes on, and all snapshots that stand must give back what they were made of.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from backupd.errors import BackupError, BusyError, ConflictError, ObjectMissingError, StoppedError
from backupd.model.orders import (
    BackupOrder,
    CheckOrder,
    FreeOrder,
    KeyOrder,
    Limits,
    MigrateOrder,
    Order,
    RestoreOrder,
    Selection,
    SnapshotListOrder,
)
from backupd.operations.freeing import cleaning
from backupd.repository.dropping import drop_snapshots
from backupd.repository.records import Records
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import BlocksLostError
from tests.fault.conftest import Faults
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.histories import tree_of
from tests.support.machine import PLUGINS, PYTHON_PATH, LaterClock, Machine

pytestmark = pytest.mark.usefixtures("quick_workers")

_LIMITS = Limits(jobs=1, polite=False)
_ROUNDS = 200
_FEW = 2
"""At every change it is enough that somebody slept in one of these."""
_NAMES = ["a", "b", "c", "d"]


class Host:
    """A machine with a source; all of them share one set of files that come and go."""

    def __init__(self, above: Path, name: str, stage: Stage) -> None:
        self.name, self.stage = name, stage
        self.source, self.machine = above / f"source {name}", Machine(above / f"home {name}")
        self.source.mkdir()
        self.clock = stage.clock
        self.newest: tuple[str, dict[str, bytes]] = ("", {})
        """Of its own snapshots, and its files."""

    def edit(self) -> None:
        """Some files come, others go; what comes may be what another snapshot has, or had."""
        random = self.stage.random
        for name in _NAMES:
            path = self.source / name
            if random.random() < 0.5:
                path.write_bytes(random.choice(self.stage.contents))
            elif random.random() < 0.4:
                path.unlink(missing_ok=True)
        (self.source / "own").write_bytes(random.randbytes(2000))

    def back_up(self) -> None:
        """A run that is told as good is noted; one that another one has taken for dead says so."""
        self.clock.ahead_seconds += 120
        tree = tree_of(self.source)
        order = BackupOrder(
            place=self.stage.place.address,
            sources=[bytes(self.source)],
            set_name=self.name,
            # Hosts share chunks: what one of them frees the other may rely on.
            deduplication="repository",
            limits=_LIMITS,
        )
        run = self.run(order).result["runs"][0]
        self.stage.noted[run["snapshot"]] = tree
        self.newest = (run["snapshot"], tree)

    def read(self) -> None:
        """Restore the newest snapshot of its own, and check all."""
        snapshot, tree = self.newest
        target, place = self.stage.above / f"read {os.urandom(4).hex()}", self.stage.place.address
        wanted = Selection(as_of=snapshot)
        done = self.run(RestoreOrder(place=place, selection=wanted, to=bytes(target), strip=True, limits=_LIMITS)).done
        assert done.exit_code == 0, done.result
        assert tree_of(target / self.source.name) == tree
        checked = self.run(CheckOrder(place=place, crc=self.stage.random.random() < 0.5, limits=_LIMITS))
        assert checked.result["problems"] == [], checked.result

    def drop(self, count: int = 1) -> None:
        """Snapshots of any set go, but for the newest of each; one and what stands in for it are the same."""
        records = self.machine.records(self.stage.place.address, self.clock)
        names = records.snapshot_names()
        self.stage.follow(records)
        newest = {name.set_id: name.name for name in names}
        old = [name.name for name in names if name.name not in newest.values()]
        for name in self.stage.random.sample(old, min(count, len(old))):
            chosen = records.snapshot(name)
            drop_snapshots(records, [name], self.clock.now_ns(), bytes(16), "a test")
            meant = {chosen.id, *self.stage.twins(records, chosen)}
            for one in meant:
                self.stage.noted.pop(naming.snapshot_id_text(one), None)

    def free(self) -> dict[str, Any]:
        """The result of a freeing."""
        self.clock.ahead_seconds += 10
        result: dict[str, Any] = self.run(FreeOrder(place=self.stage.place.address, limits=_LIMITS)).result
        return result

    def migrate(self) -> None:
        """Seal anew what lies under an older key, whoever's it is; older snapshots are named in a drawn scope."""
        self.clock.ahead_seconds += 10
        place = self.stage.place.address
        records = self.machine.records(place, self.clock)
        # One may be written anew twice.
        self.stage.follow(records)
        (set_id,) = {
            name.set_id
            for name in records.snapshot_names()
            if name.name.split("/")[-1].partition("-")[2] == self.newest[0][1:]
        }
        order = MigrateOrder(place=place, set_id=set_id, limits=_LIMITS)
        named_otherwise = msgspec.structs.replace(order, deduplication="repository")
        self.run(self.stage.random.choice([order, named_otherwise]))

    def rotate(self) -> None:
        """A new epoch."""
        self.run(KeyOrder(place=self.stage.place.address, verb="rotate"))

    def run(self, order: Order) -> Any:
        """Raises BackupError."""
        return self.machine.run(order, self.clock)


class Stage:
    """A place in memory, and hosts that use one repository there."""

    def __init__(self, above: Path, random: Random) -> None:
        self.random, self.above, self.clock = random, above, LaterClock()
        (above / "memory").mkdir()
        self.place = FaultyPlace(above / "memory")
        self.contents = [random.randbytes(size) for size in (30_000, 50_000, 70_000, 90_000, 200_000)]
        self.noted: dict[str, dict[str, bytes]] = {}
        """Files of all snapshots that were told as good and not dropped."""
        self.beside: dict[str, str] = {}
        """Of what was written anew the one that it stands in for."""
        self.hosts: dict[str, Host] = {}

    def host(self, name: str) -> Host:
        """A new one; it has the key."""
        new = self.hosts[name] = Host(self.above, name, self)
        first = next(iter(self.hosts.values()))
        if first is not new:
            shutil.copytree(first.machine.keys, new.machine.keys, dirs_exist_ok=True)
        return new

    def hold(self, call: int, act: Callable[[], object]) -> Sleeper:
        """Have somebody act, and stand still at a call of his."""
        self.place.set_faults(Fault("hold", "any", first=call))
        return Sleeper(self.place, act)

    def follow(self, records: Records) -> None:
        """What stands in for another snapshot holds what that one held."""
        found: list[Snapshot] = []
        for name in records.snapshot_names():
            # Who asks may have slept since it was listed, and others dropped it.
            with suppress(ObjectMissingError):
                found.append(records.snapshot(name.name))
        listed = {naming.snapshot_id_text(one.id) for one in found}
        for new, old in self.beside.items():
            # Who may have had something freed under him drops what he wrote: the old one stands still.
            if new not in listed and old in listed:
                self.noted.pop(new, None)
        for one in found:
            old = naming.snapshot_id_text(one.rewriting.snapshot_id) if one.rewriting is not None else ""
            if old in self.noted:
                self.noted[naming.snapshot_id_text(one.id)] = self.noted[old]
                self.beside[naming.snapshot_id_text(one.id)] = old
                if old not in listed:
                    del self.noted[old]

    def twins(self, records: Records, snapshot: Snapshot) -> set[bytes]:
        """Ids of what a snapshot stands in for, and of what stands in for it."""
        of = {snapshot.rewriting.snapshot_id} if snapshot.rewriting is not None else set()
        found = [records.snapshot(name.name) for name in records.snapshot_names()]
        return of | {one.id for one in found if one.rewriting and one.rewriting.snapshot_id == snapshot.id}

    def check_all(self) -> None:
        """All that was told as good, and was not dropped, is listed and comes back; a check finds nothing."""
        self.place.set_faults()
        host = self.hosts[sorted(self.hosts)[0]]
        self.follow(host.machine.records(self.place.address, self.clock))
        listed = host.run(SnapshotListOrder(place=self.place.address)).result["snapshots"]
        missing = self.noted.keys() - {one["id"] for one in listed}
        assert not missing, f"lost: {missing}"
        problems = host.run(CheckOrder(place=self.place.address, crc=True, limits=_LIMITS)).result["problems"]
        assert problems == []
        for snapshot, tree in self.noted.items():
            target = self.above / f"back {os.urandom(4).hex()}"
            wanted = Selection(as_of=snapshot)
            place = self.place.address
            host.run(RestoreOrder(place=place, selection=wanted, to=bytes(target), strip=True, limits=_LIMITS))
            (found,) = target.iterdir()
            assert tree_of(found) == tree
            shutil.rmtree(target)


class Sleeper:
    """An act in a thread that stands still once."""

    def __init__(self, place: FaultyPlace, act: Callable[[], object]) -> None:
        self._place = place
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()
        while self._thread.is_alive() and not place.is_held():
            time.sleep(0.01)
        self.was_held = place.is_held()
        if not self.was_held:
            # It made fewer calls: nobody else is to be held in its stead.
            place.set_faults()

    def _run(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - looked at by `wake`
            self.error = error

    def wake(self) -> BaseException | None:
        """Let it go on to its end; what it ended with."""
        self._place.let_go()
        self._thread.join(120)
        assert not self._thread.is_alive(), "never ends"
        if self.error is not None and not isinstance(self.error, BackupError):
            raise self.error
        return self.error


@pytest.fixture(name="above")
def memory_above(monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", PYTHON_PATH)
    # Who stands still is waited for in vain.
    monkeypatch.setattr(cleaning, "PATIENCE_SECONDS", 0.3)
    above = Path(tempfile.mkdtemp(prefix="races-", dir="/dev/shm"))
    yield above
    shutil.rmtree(above, ignore_errors=True)


def _rounds(faults: Faults) -> int:
    return _ROUNDS if faults.is_full else _FEW


def _staged(above: Path, faults: Faults, number: int) -> tuple[Stage, Host, Host]:
    """Two hosts with three snapshots each."""
    folder = above / str(number)
    folder.mkdir()
    stage = Stage(folder, Random(faults.seed * 1000 + number))
    one = stage.host("one")
    one.edit()
    one.back_up()
    two = stage.host("two")
    for _ in range(2):
        for host in (two, one):
            host.edit()
            host.back_up()
    return stage, one, two


def _calls_of(stage: Stage, act: Callable[[], object]) -> int:
    """How many calls an act makes."""
    stage.place.set_faults()
    act()
    return len(stage.place.calls())


_MAY_END_WITH = (ConflictError, BusyError, StoppedError)


def test_a_writer_that_slept_while_space_was_freed(above: Path, faults: Faults) -> None:
    """Else a laptop that was shut in the middle of a backup wakes up, goes on and says that it is good."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        two.edit()
        calls = _calls_of(stage, two.back_up)
        two.edit()
        sleeper = stage.hold(stage.random.randrange(calls), two.back_up)
        held += sleeper.was_held
        for _ in range(2):
            one.drop()
            one.free()
        one.edit()
        one.back_up()
        error = sleeper.wake()
        assert error is None or isinstance(error, _MAY_END_WITH), error
        stage.check_all()
        two.back_up()
        one.free()
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} writers slept")  # noqa: T201 - counts for docs/reliability.md
    assert held


def test_a_cleaner_that_slept_while_others_went_on(above: Path, faults: Faults) -> None:
    """Else a freeing that was suspended deletes, days later, what is needed since."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        one.drop(2)
        random = stage.random
        sleeper = stage.hold(random.randrange(60), one.free)
        held += sleeper.was_held
        for _ in range(random.randrange(1, 4)):
            act = random.choice([two.back_up, two.free, two.drop, two.edit])
            act()
        two.edit()
        two.back_up()
        error = sleeper.wake()
        assert error is None or isinstance(error, _MAY_END_WITH), error
        stage.check_all()
        for host in (one, two):
            host.free()
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} cleaners slept")  # noqa: T201 - counts for docs/reliability.md
    assert held


def test_a_migration_that_slept_while_others_went_on(above: Path, faults: Faults) -> None:
    """Else what it stored anew is taken for an orphan, and the old copy for one too many, and both go."""
    held = 0
    for number in range(_ROUNDS if faults.is_full else 1):
        stage, one, two = _staged(above, faults, number)
        random = stage.random
        one.drop(random.randrange(3))
        one.rotate()
        sleeper = stage.hold(random.randrange(160), one.migrate)
        held += sleeper.was_held
        for _ in range(random.randrange(1, 5)):
            act = random.choice([two.back_up, two.free, two.free, two.migrate, two.drop, two.edit])
            act()
        error = sleeper.wake()
        assert error is None or isinstance(error, (*_MAY_END_WITH, BlocksLostError)), error
        stage.check_all()
        for host in (two, one):
            host.migrate()
            host.free()
            stage.check_all()
        two.edit()
        two.back_up()
        stage.check_all()
        shutil.rmtree(stage.above)
    print(f"{held} migrations slept")  # noqa: T201 - counts for docs/reliability.md
    assert held


def test_a_reader_that_slept_while_space_was_freed(above: Path, faults: Faults) -> None:
    """Else a restore or a check beside a freeing says that files are lost, which lie in other blocks by now."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        sleeper = stage.hold(stage.random.randrange(_calls_of(stage, two.read)), two.read)
        held += sleeper.was_held
        for _ in range(2):
            one.edit()
            one.back_up()
            one.drop(3)
            one.free()
        error = sleeper.wake()
        assert error is None, error
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} readers slept")  # noqa: T201 - counts for docs/reliability.md
    assert held


def test_two_cleaners_that_write_the_same_blocks_anew(above: Path, faults: Faults) -> None:
    """Else who frees on two machines at once is told of damage, and that a check is due, where all is well."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        one.drop(2)
        stage.place.set_faults(Fault("hold", "get", "/blocks/", first=stage.random.randrange(6)))
        sleeper = Sleeper(stage.place, one.free)
        held += sleeper.was_held
        two.free()
        error = sleeper.wake()
        assert error is None, error
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} cleaners slept")  # noqa: T201 - counts for docs/reliability.md


def test_a_new_host_while_space_is_freed(above: Path, faults: Faults) -> None:
    """Else the first backup of a new machine relies on what is deleted at this very moment."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, _ = _staged(above, faults, number)
        one.drop(2)
        sleeper = stage.hold(stage.random.randrange(60), one.free)
        held += sleeper.was_held
        new = stage.host("new")
        new.edit()
        new.back_up()
        error = sleeper.wake()
        assert error is None or isinstance(error, _MAY_END_WITH), error
        stage.check_all()
        new.edit()
        new.back_up()
        new.free()
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} cleaners slept")  # noqa: T201 - counts for docs/reliability.md
    assert held


def test_what_a_host_knew_before_another_one_freed(above: Path, faults: Faults) -> None:
    """Else its caches say that a chunk is there which another host has deleted."""
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        for _ in range(stage.random.randrange(1, 4)):
            one.edit()
            one.back_up()
            one.drop(3)
            one.free()
        # What it has had before comes back.
        two.edit()
        two.back_up()
        stage.check_all()
        shutil.rmtree(stage.above)


def test_an_index_that_is_merged_late(above: Path, faults: Faults) -> None:
    """Else the merged index names what was deleted meanwhile, or forgets what was written."""
    held = 0
    for number in range(_rounds(faults)):
        stage, one, two = _staged(above, faults, number)
        for host in (one, two, one):
            host.edit()
            host.back_up()
        # Eight index objects make the run that finds them merge them.
        two.edit()
        stage.place.set_faults(Fault("hold", "put", "/index/", first=1))
        sleeper = Sleeper(stage.place, two.back_up)
        held += sleeper.was_held
        one.drop(2)
        one.free()
        one.edit()
        one.back_up()
        error = sleeper.wake()
        assert error is None or isinstance(error, _MAY_END_WITH), error
        stage.check_all()
        one.free()
        stage.check_all()
        shutil.rmtree(stage.above)
        if held and not faults.is_night:
            break
    print(f"{held} writers slept")  # noqa: T201 - counts for docs/reliability.md
    assert held
