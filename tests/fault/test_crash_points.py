"""Every crash point of what writes (RELIABILITY C1, C3): killed, torn or without power there, nothing is lost.

Each operation is done once and listened to; then, for each of its calls that changed the place or the state, the disk
is laid as a crash there leaves it, and the oracle looks (tests/support/crashing.py): every snapshot that was reported
as good gives back the same bytes, the next run needs no help and is whole, check finds nothing, nothing lies around.
"""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from backupd.model.orders import CheckOrder, FreeOrder, KeyOrder, Limits, MigrateOrder, ReplicateOrder, Unlock
from backupd.model.retention import RetentionText
from backupd.repository.dropping import drop_snapshots
from tests.fault.conftest import Faults
from tests.support.crashing import Scene
from tests.support.disk_states import Disk, Worst
from tests.support.disk_trace import DEFECT, Fault
from tests.support.repair_scenes import (
    records_repaired,
    repaired_by_parity,
    repaired_from_sibling,
    small_objects_repaired,
)

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

Operation = Callable[[Scene], Callable[[], int]]
"""Prepares a scene; gives what is then listened to."""
_FEW = 2
"""So many crash points of each operation are looked at by night, one at every change; with --full-size all of them."""
_CUTS = 3
"""Power cuts at each point, of whose unsynced writes others are lost each time; one in CI."""
_OLD_PASSWORD = b"what opened it before"
_PASSWORD = b"a password of the tests"


def first_backup(scene: Scene) -> Callable[[], int]:
    """Makes key, repository, set and snapshot."""
    return scene.back_up


def incremental(scene: Scene) -> Callable[[], int]:
    """New, changed and removed files."""
    scene.back_up()
    scene.write("b", 3000)
    scene.write("new/one", 20_000)
    (scene.source / "a").unlink()
    return scene.back_up


def nothing_new_to_store(scene: Scene) -> Callable[[], int]:
    """Known content under other names: new trees over old chunks."""
    scene.back_up()
    shutil.copy(scene.source / "a", scene.source / "copy of a")
    (scene.source / "b").rename(scene.source / "renamed")
    return scene.back_up


def resumed(scene: Scene) -> Callable[[], int]:
    """A run was killed right before its snapshot was created; this is the next one."""
    scene.back_up()
    scene.write("large", 2_000_000)
    before, trace = scene.record(scene.back_up)
    for step in trace.steps[: next(i for i, step in enumerate(trace.steps) if "/snapshots/" in step.other)]:
        before.do(step)
    before.lay()
    return scene.back_up


def replicated(scene: Scene) -> Callable[[], int]:
    """A place's first snapshot is copied from another one, keys included; broken off, the same command is given again.

    The other place is no part of the disk that the crash happens to.
    """
    place, old = scene.place, scene.place.with_name("old place")
    scene.place = old
    scene.back_up()
    scene.place = place
    order = ReplicateOrder(place=str(old), to=str(place), limits=Limits(polite=False))
    scene.repeat = lambda: scene.run(order)
    return scene.repeat


def replicated_again(scene: Scene) -> Callable[[], int]:
    """The same with a snapshot there already: of the new one only what is lacking is copied."""
    repeat = replicated(scene)
    repeat()
    scene.note_what_is_there()
    scene.write("b", 3000)
    (scene.source / "a").rename(scene.source / "renamed")
    place, scene.place = scene.place, scene.place.with_name("old place")
    scene.back_up()
    scene.place = place
    return repeat


def index_merge(scene: Scene) -> Callable[[], int]:
    """The eighth run merges the index objects of all before it."""
    for number in range(7):
        scene.write(f"file-{number}", 2000)
        scene.back_up()
    scene.write("last", 2000)
    return scene.back_up


def index_rebuild(scene: Scene) -> Callable[[], int]:
    """The index is lost and made anew from the blocks; broken off, the same command is given again."""
    scene.back_up()
    scene.note_what_is_there()
    for path in scene.place.glob("r*/index/*"):
        path.unlink()
    order = CheckOrder(place=str(scene.place), rebuild_index=True, limits=Limits(jobs=1))
    scene.repeat = lambda: scene.run(order)
    return scene.repeat


def key_added(scene: Scene) -> Callable[[], int]:
    """`bkctl key add` with a password."""
    scene.back_up()
    return lambda: scene.run(KeyOrder(place=str(scene.place), verb="add", label="second", new_secret=_PASSWORD))


def key_changed(scene: Scene) -> Callable[[], int]:
    """`bkctl key password`, where nothing but the old password opens the repository, and then nothing but the new."""
    scene.back_up()
    scene.note_what_is_there()
    place, old = str(scene.place), Unlock(secret=_OLD_PASSWORD)
    scene.run(KeyOrder(place=place, verb="add", new_secret=_OLD_PASSWORD))
    shutil.rmtree(scene.machine.keys)
    scene.run(KeyOrder(place=place, verb="remove", slot="first key", unlock=old, assume_yes=True))
    return lambda: scene.run(KeyOrder(place=place, verb="password", unlock=old, new_secret=_PASSWORD))


def key_rotated(scene: Scene) -> Callable[[], int]:
    """`bkctl key rotate`: a new epoch for what is written from now on."""
    scene.back_up()
    return lambda: scene.run(KeyOrder(place=str(scene.place), verb="rotate"))


def key_removed(scene: Scene) -> Callable[[], int]:
    """`bkctl key remove` of a second key."""
    scene.back_up()
    scene.run(KeyOrder(place=str(scene.place), verb="add", label="second", new_secret=_PASSWORD))
    return lambda: scene.run(KeyOrder(place=str(scene.place), verb="remove", slot="second", assume_yes=True))


def freed(scene: Scene) -> Callable[[], int]:
    """`bkctl free` where two of three snapshots were dropped: blocks that nobody needs, and one that is mostly dead."""
    _live_through(scene)
    records = scene.machine.records(str(scene.place), scene.clock)
    drop_snapshots(records, [name.name for name in records.snapshot_names()][:2], scene.clock.now_ns(), bytes(16), "")
    scene.note_what_is_there()
    return _free(scene, FreeOrder(place=str(scene.place), limits=Limits(jobs=1, polite=False)))


def freed_with_policy(scene: Scene) -> Callable[[], int]:
    """The same, but the set's policy says what is dropped, as it does where a daemon frees."""
    _live_through(scene)
    records = scene.machine.records(str(scene.place), scene.clock)
    names = records.snapshot_names()
    scene.may_go = {records.snapshot(name.name).id.hex() for name in names[:2]}
    scene.clock.ahead_seconds += 30 * 86_400
    policy, limits = RetentionText(days=7), Limits(jobs=1, polite=False)
    return _free(scene, FreeOrder(place=str(scene.place), set_id=names[0].set_id, policy=policy, limits=limits))


def freed_for_target(scene: Scene) -> Callable[[], int]:
    """The same, but so much is to be given back that two of the three go."""
    _live_through(scene)
    records = scene.machine.records(str(scene.place), scene.clock)
    names = records.snapshot_names()
    scene.may_go = {records.snapshot(name.name).id.hex() for name in names[:2]}
    limits, of = Limits(jobs=1, polite=False), records.snapshot(names[0].name).set_name
    _free(scene, FreeOrder(place=str(scene.place), limits=limits))
    order = FreeOrder(place=str(scene.place), set_names=[of], target_bytes=450_000, confirmed=of, limits=limits)
    return lambda: scene.run(order)


def _live_through(scene: Scene) -> None:
    """Three snapshots of which the newest needs little of what is stored."""
    for number in range(12):
        scene.write(f"few/{number}", 8000)
    scene.back_up()
    (scene.source / "a").unlink()
    scene.write("gone", 200_000)
    scene.back_up()
    for name in ("gone", *(f"few/{number}" for number in range(9))):
        (scene.source / name).unlink()
    scene.write("new", 3000)
    scene.back_up()


def _free(scene: Scene, order: FreeOrder) -> Callable[[], int]:
    """What frees; it has to delete something, and to write something anew."""
    scene.freeing = lambda: scene.run(order)
    return scene.freeing


def migrated(scene: Scene) -> Callable[[], int]:
    """Keys were rotated: all is sealed anew, then the old blocks are given free."""
    scene.back_up()
    scene.write("few/more", 30_000)
    scene.back_up()
    scene.note_what_is_there()
    scene.run(KeyOrder(place=str(scene.place), verb="rotate"))
    set_id = scene.machine.records(str(scene.place), scene.clock).snapshot_names()[0].set_id
    limits = Limits(jobs=1, polite=False)
    migrate = MigrateOrder(place=str(scene.place), set_id=set_id, compression="best", limits=limits)
    free = FreeOrder(place=str(scene.place), limits=limits)
    scene.freeing = lambda: scene.run(migrate) or scene.run(free)
    return scene.freeing


OPERATIONS: list[Operation] = [
    first_backup, incremental, nothing_new_to_store, resumed, index_merge, index_rebuild, key_added, key_changed,
    key_rotated, key_removed, replicated, replicated_again, freed, freed_with_policy, freed_for_target, migrated,
    repaired_from_sibling, repaired_by_parity, small_objects_repaired, records_repaired,
]  # fmt: skip
_BY_NIGHT = (
    key_changed, key_removed, replicated_again, freed_with_policy, freed_for_target,
    repaired_by_parity, small_objects_repaired, records_repaired,
)  # fmt: skip
"""Of keys, copies, freeings and repairs some are tried at every change."""
_AT_THEIR_TIME = [pytest.param(one, marks=[pytest.mark.nightly] * (one in _BY_NIGHT)) for one in OPERATIONS]


@pytest.mark.parametrize("operation", _AT_THEIR_TIME, ids=lambda one: one.__name__)
def test_a_crash_at_any_point_loses_nothing(tmp_path: Path, operation: Operation, faults: Faults) -> None:
    """Else a machine that dies at a bad moment takes yesterday's backup along, or waits for somebody to repair it."""
    random = faults.random()
    scene = Scene(tmp_path, Random(faults.seed))
    for name, size in (("a", 300_000), ("b", 2000), ("d/c", 50_000)):
        scene.write(name, size)
    function = operation(scene)
    if not scene.good:
        scene.note_what_is_there()
    before, trace = scene.record(function)
    assert trace.exit_code == 0
    if scene.freeing is not None:
        done = {step.kind for step in trace.steps if "/blocks/" in step.path + step.other}
        assert {"link", "unlink"} <= done, f"nothing was written anew and deleted: {done}"
    last = scene.hash_of_source()
    points = range(len(trace.steps) + 1)
    chosen = set(points if faults.is_full else random.sample(points, _points(operation, faults)))
    cuts = _CUTS if faults.is_full else 1
    counted: Counter[str] = Counter(calls=len(trace.steps))
    disk = Disk(trace.roots)
    disk.take(before)
    for point in points:
        if point:
            disk.do(trace.steps[point - 1])
        if point in chosen:
            following = trace.steps[point] if point < len(trace.steps) else None
            torn = ["torn"] if following is not None and following.kind == "write" else []
            for how in ("killed", *torn, "nothing unsynced", *["cut"] * cuts):
                state = Disk(trace.roots)
                state.take(disk)
                if how == "torn" and following is not None:
                    state.do(following, part=random.random())
                draw = random.randrange(1 << 32)
                state.lay({"cut": Random(draw), "nothing unsynced": Worst()}.get(how))
                counted[how] += 1
                try:
                    scene.check_nothing_lost(last, _secrets(operation))
                except Exception as error:
                    where = f"{how} after call {point}, {trace.steps[point - 1][:3] if point else 'none'}, draw {draw}"
                    raise AssertionError(f"{where}: {error}") from error
    print(f"{operation.__name__}: {dict(counted)}")  # noqa: T201 - counts for docs/reliability.md


def test_a_power_cut_after_the_first_backup_leaves_the_only_key(tmp_path: Path) -> None:
    """Else the new directory that holds the key is gone with it, and nobody ever reads the backup."""
    scene = Scene(tmp_path, Random(1))
    scene.write("a", 1000)
    disk, trace = scene.record(scene.back_up)
    scene.note_what_is_there()
    for step in trace.steps:
        disk.do(step)
    disk.lay(Worst())
    assert list(scene.machine.keys.glob("r*.key"))
    scene.check_nothing_lost(scene.hash_of_source(), [Unlock()])


@pytest.mark.parametrize("operation", _AT_THEIR_TIME, ids=lambda one: one.__name__)
def test_a_call_that_fails_is_told_and_loses_nothing(tmp_path: Path, operation: Operation, faults: Faults) -> None:
    """Else a disk that refuses one write gives a backup that says it is good and is none."""
    random = faults.random()
    scene = Scene(tmp_path, Random(faults.seed))
    for name, size in (("a", 300_000), ("b", 2000), ("d/c", 50_000)):
        scene.write(name, size)
    function = operation(scene)
    if not scene.good:
        scene.note_what_is_there()
    before, trace = scene.record(function)
    last = scene.hash_of_source()
    reported: Counter[str] = Counter()
    every = [
        Fault(point, number, is_lasting=is_lasting)
        for point in range(1, len(trace.steps) + 1)
        for number in (errno.EIO, errno.ENOSPC)
        for is_lasting in (False, True)
    ]
    for fault in every if faults.is_full else random.sample(every, _points(operation, faults)):
        before.lay()
        good = dict(scene.good)
        _, failed = scene.record(function, fault)
        reported["good" if failed.exit_code == 0 else "told"] += 1
        try:
            assert failed.exit_code != DEFECT, "an error without a code"
            if failed.exit_code == 0 and operation in BACKUPS:
                scene.check_reported(last)
            scene.check_nothing_lost(last, _secrets(operation))
        except Exception as error:
            where = f"{fault} at {trace.steps[fault.number - 1][:3]}"
            raise AssertionError(f"{where}: {error}") from error
        scene.good = good
    print(f"{operation.__name__}, calls that fail: {dict(reported)}")  # noqa: T201 - as above


SLOW = (
    key_changed, replicated, replicated_again, freed, freed_with_policy, freed_for_target, migrated,
    repaired_from_sibling, repaired_by_parity, small_objects_repaired, records_repaired,
)  # fmt: skip
"""Opening by passwords alone takes seconds, and so does what is done again before each look."""
KEY_OPERATIONS = (key_added, key_changed, key_rotated, key_removed)
BACKUPS = (first_backup, incremental, nothing_new_to_store, resumed, index_merge)


def _points(operation: Operation, faults: Faults) -> int:
    """How many are looked at where not all are."""
    return _FEW if faults.is_night and operation not in SLOW else 1


def _secrets(operation: Operation) -> list[Unlock]:
    """What may open the repository after the operation; one of these does."""
    typed = [Unlock(secret=_OLD_PASSWORD), Unlock(secret=_PASSWORD)]
    return [Unlock(), *typed] if operation in KEY_OPERATIONS else [Unlock()]
