"""Every crash point of a purge, and of a migration of older snapshots (RELIABILITY C1, C3).

What was not named stays, and the same command ends it.

As tests/fault/test_crash_points.py, with an oracle of its own: a snapshot that is written anew is there as it was or as
it is to be, never neither; and a repository of which all goes is whole until nobody can write to it any more.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from backupd.errors import BackupError, DestinationUnreachableError, RepositoryNotFoundError
from backupd.model.orders import BackupOrder, CheckOrder, FreeOrder, Limits, MigrateOrder
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.writing_anew import rewritten_id
from tests.fault.conftest import Faults
from tests.support.crashing import Scene
from tests.support.disk_states import Disk, Worst
from tests.support.disk_trace import DEFECT, Fault
from tests.support.stored_trees import read_stored

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

_LIMITS = Limits(jobs=1, polite=False)
_CHUNK_BYTES = 8 << 10
_FEW = 2
"""So many points of each by night, one at every change; with --full-size all of them."""


@dataclass
class Purge:
    """One purge or migration, what it begins with and what it is to end with."""

    scene: Scene
    order: PurgeOrder | MigrateOrder
    before: dict[str, str]
    """Hash of what each snapshot gives back."""
    after: dict[str, str] = field(default_factory=dict)
    stands_in: dict[str, str] = field(default_factory=dict)
    """The snapshot that comes in place of each one that is written anew."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the repository goes."""
        return isinstance(self.order, PurgeOrder) and self.order.whole

    def run(self) -> int:
        """The same command each time; what a migration leaves is freed by another one."""
        free = FreeOrder(place=str(self.scene.place), limits=_LIMITS)
        return self.scene.run(self.order) or (isinstance(self.order, MigrateOrder) and self.scene.run(free))

    def listed(self) -> dict[str, str]:
        """Hash of what each snapshot gives back now."""
        try:
            return {name: tree.digest for name, tree in read_stored(self.scene.machine, self.scene.place).items()}
        except (RepositoryNotFoundError, DestinationUnreachableError):
            return {}

    def blocks(self) -> int:
        """Bytes of all blocks."""
        return sum(path.stat().st_size for path in self.scene.place.glob("r*/blocks/*/*"))

    def check_now(self) -> None:
        """What a crash left: nothing is lost that was not named, nothing else is there."""
        if self.is_whole:
            if not list(self.scene.place.glob("r*/gc/purge-*")) and list(self.scene.place.glob("r*/repository.json")):
                assert self.listed() == self.before, "it is no more as it was, and nobody was told to stop"
            return
        listed = self.listed()
        unknown = listed.items() - self.before.items() - self.after.items()
        assert not unknown, f"changed, or of nobody: {unknown}"
        lost = self.before.keys() & self.after.keys() - listed.keys()
        assert not lost, f"lost although nobody named it: {lost}"
        gone = {old for old, new in self.stands_in.items() if not {old, new} & listed.keys()}
        assert not gone, f"neither the old nor the new one is there: {gone}"

    def check_end(self, stored_bytes: int) -> None:
        """The same command once more ends it; then all is well. stored_bytes: of blocks, where nothing went wrong."""
        code = self.run()
        assert code == 0 or (self.is_whole and code == 10), f"the next purge needs help: {code}"
        if self.is_whole:
            left = [path for path in self.scene.place.rglob("*") if path.is_file()]
            assert left == [], left
        else:
            assert self.listed() == self.after
            assert self.blocks() <= stored_bytes + 20_000, "space was not given back"
        assert self.scene.back_up() == 0, "the next run needs help"
        assert self.scene.run(CheckOrder(place=str(self.scene.place), crc=True, limits=_LIMITS)) == 0
        assert not self.scene.ledger.leftovers(), self.scene.ledger.leftovers()


def _planned(scene: Scene, **wanted: object) -> Purge:
    order = PurgeOrder(place=str(scene.place), limits=_LIMITS, **wanted)  # type: ignore[arg-type]
    plan = scene.machine.run(PurgeOrder(place=str(scene.place), dry_run=True, **wanted), scene.clock)  # type: ignore[arg-type]
    before = {name: tree.digest for name, tree in read_stored(scene.machine, scene.place).items()}
    return Purge(scene, PurgeOrder(**{**_fields(order), "plan": plan.result["plan"]}), before)


def _fields(order: PurgeOrder) -> dict[str, object]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


def _live_through(scene: Scene) -> list[str]:
    """Three snapshots of a set and one of another; ids of the first set's, the oldest first."""
    for name, size in (("secret", 300_000), ("b", 2000), ("d/secret", 50_000), ("d/c", 50_000)):
        scene.write(name, size)
    for number in range(3):
        scene.write("changes", 3000 + number)
        assert scene.back_up() == 0
    other = scene.above / "another source"
    other.mkdir()
    (other / "a").write_bytes(scene.random.randbytes(20_000))
    order = BackupOrder(place=str(scene.place), sources=[bytes(other)], set_name="other", limits=_LIMITS)
    assert scene.run(order) == 0
    records = scene.machine.records(str(scene.place), scene.clock)
    found = [records.snapshot(name.name) for name in records.snapshot_names()]
    docs = sorted((one for one in found if one.set_name == "docs"), key=lambda one: one.started_ns)
    return [one.id.hex() for one in docs]


def snapshots(scene: Scene) -> Purge:
    """Two snapshots of three go."""
    first, second, _ = _live_through(scene)
    return _planned(scene, set_names=["docs"], snapshots=["s" + first, "s" + second])


def paths(scene: Scene) -> Purge:
    """Two paths go from two snapshots of three."""
    first, second, _ = _live_through(scene)
    wanted = [bytes(scene.source / "secret"), bytes(scene.source / "d" / "secret")]
    purge = _planned(scene, set_names=["docs"], snapshots=["s" + first, "s" + second], paths=wanted)
    key = scene.machine.records(str(scene.place), scene.clock).repository.keyring.chunk_id_key
    inside = sorted(wanted, key=lambda path: path.split(b"/"))
    new = {old: rewritten_id(key, bytes.fromhex(old), inside).hex() for old in (first, second)}
    purge.stands_in = new
    return purge


def everything(scene: Scene) -> Purge:
    """The whole repository goes."""
    _live_through(scene)
    return _planned(scene, whole=True)


def older(scene: Scene) -> Purge:
    """Three snapshots are cut anew; what they share with the newest one was by its own run."""
    _live_through(scene)
    for at in (scene.source / "changes", scene.source / "secret"):
        at.unlink()
    again = {"chunk_size_bytes": _CHUNK_BYTES, "migrate": True}
    words = {"place": str(scene.place), "sources": [bytes(scene.source)], "set_name": "docs", "limits": _LIMITS}
    assert scene.run(BackupOrder(**words, **again)) == 0  # type: ignore[arg-type]
    records = scene.machine.records(str(scene.place), scene.clock)
    (newest,) = (name for name in records.snapshot_names() if records.snapshot(name.name).file_count == 3)
    found = [records.snapshot(name.name).id for name in records.snapshot_names() if name.set_id == newest.set_id]
    order = MigrateOrder(
        place=str(scene.place), set_id=newest.set_id, limits=_LIMITS, chunk_size_bytes=_CHUNK_BYTES
    )
    before = {name: tree.digest for name, tree in read_stored(scene.machine, scene.place).items()}
    key, parts = records.repository.keyring.chunk_id_key, [b"recut", b"set", str(_CHUNK_BYTES).encode()]
    new = {old.hex(): rewritten_id(key, old, parts).hex() for old in found[:-1]}
    return Purge(scene, order, before, stands_in=new)


KINDS: list[Callable[[Scene], Purge]] = [snapshots, paths, everything, older]


def _recorded(tmp_path: Path, kind: Callable[[Scene], Purge], faults: Faults) -> tuple[Purge, Disk, list[object]]:
    scene = Scene(tmp_path, Random(faults.seed))
    purge = kind(scene)
    before, trace = scene.record(purge.run)
    assert trace.exit_code == 0
    purge.after = purge.listed()
    gone = len(purge.stands_in) or 2
    assert len(purge.after) == (0 if purge.is_whole else len(purge.before) - gone + len(purge.stands_in))
    assert set(purge.stands_in.values()) <= purge.after.keys()
    return purge, before, list(trace.steps)


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_a_crash_at_any_point_loses_nothing_else(
    tmp_path: Path, kind: Callable[[Scene], Purge], faults: Faults
) -> None:
    """Else who has one letter deleted loses a year of backups with it, to a power cut."""
    random = faults.random()
    purge, before, steps = _recorded(tmp_path, kind, faults)
    stored_bytes = purge.blocks()
    points = range(len(steps) + 1)
    chosen = set(points if faults.is_full else random.sample(points, _FEW if faults.is_night else 1))
    counted: Counter[str] = Counter(calls=len(steps))
    disk = Disk(map(str, (purge.scene.place, purge.scene.machine.home)))
    disk.take(before)
    for point in points:
        if point:
            disk.do(steps[point - 1])  # type: ignore[arg-type]
        if point not in chosen:
            continue
        for how in ("killed", "nothing unsynced", "cut") if faults.is_full else ("killed", "cut"):
            state = Disk(map(str, (purge.scene.place, purge.scene.machine.home)))
            state.take(disk)
            draw = random.randrange(1 << 32)
            state.lay({"cut": Random(draw), "nothing unsynced": Worst()}.get(how))
            counted[how] += 1
            try:
                purge.check_now()
                purge.check_end(stored_bytes)
            except (AssertionError, BackupError) as error:
                step = steps[point - 1][:3] if point else "none"  # type: ignore[index]
                raise AssertionError(f"{how} after call {point}, {step}, draw {draw}: {error}") from error
    print(f"{kind.__name__}: {dict(counted)}")  # noqa: T201 - counts for docs/reliability.md


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_a_call_that_fails_is_told_and_loses_nothing_else(
    tmp_path: Path, kind: Callable[[Scene], Purge], faults: Faults
) -> None:
    """Else a disk that refuses one write leaves neither the old snapshot nor the new one."""
    random = faults.random()
    purge, before, steps = _recorded(tmp_path, kind, faults)
    stored_bytes = purge.blocks()
    every = [
        Fault(point, number, is_lasting=is_lasting)
        for point in range(1, len(steps) + 1)
        for number in (errno.EIO, errno.ENOSPC)
        for is_lasting in (False, True)
    ]
    reported: Counter[str] = Counter()
    for fault in every if faults.is_full else random.sample(every, _FEW if faults.is_night else 1):
        before.lay()
        _, failed = purge.scene.record(purge.run, fault)
        reported["good" if failed.exit_code == 0 else "told"] += 1
        try:
            assert failed.exit_code != DEFECT, "an error without a code"
            purge.check_now()
            if failed.exit_code == 0 and not purge.is_whole:
                assert purge.listed() == purge.after, "told that it is done, and it is not"
            purge.check_end(stored_bytes)
        except (AssertionError, BackupError) as error:
            raise AssertionError(f"{fault} at {steps[fault.number - 1][:3]}: {error}") from error  # type: ignore[index]
    print(f"{kind.__name__}, calls that fail: {dict(reported)}")  # noqa: T201 - as above
