"""Damage that a repair heals, laid for a crash to happen to the repair (tests/fault/test_crash_points.py)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from backupd.block.layout import DATA, TREE
from backupd.model.orders import CheckOrder, FreeOrder, Limits, ReplicateOrder, SiblingPlace, Unlock
from backupd.repository.dropping import drop_snapshots
from backupd.repository.notes import write_note
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.notes import PIN
from backupd.snapshot.records import BlockList, Damage, Note
from tests.support import damaging
from tests.support.crashing import Scene, backup_order
from tests.support.damaging import blocks_of

_PARITY = 10


def repaired_from_sibling(scene: Scene) -> Callable[[], int]:
    """One block is gone, one has lost its middle, the trees are damaged; another place has all of it."""
    _live_through(scene, parity=None)
    sibling = _sibling(scene)
    first, *others = blocks_of(scene.place, DATA)
    damaging.delete(first)
    for path in (*others, *blocks_of(scene.place, TREE)):
        damaging.zero(0.3, 0.6)(path)
    return _repair(scene, sibling)


def repaired_by_parity(scene: Scene) -> Callable[[], int]:
    """Each block has lost a stretch, and its own parity gives it back."""
    _live_through(scene, parity=_PARITY)
    for path in (*blocks_of(scene.place, DATA), *blocks_of(scene.place, TREE)):
        damaging.flip(0.4)(path)
    return _repair(scene)


def small_objects_repaired(scene: Scene) -> Callable[[], int]:
    """A snapshot, an index object and a text can't be read, and a block is gone."""
    _live_through(scene, parity=None)
    sibling = _sibling(scene)
    ways: dict[str, damaging.Damage] = {
        "snapshots/*/*": damaging.flip(0.5), "index/*": damaging.truncate(0.5), "repository.json.2": damaging.flip(0.5),
    }  # fmt: skip
    for pattern, damage in ways.items():
        damage(min(scene.place.glob(f"r*/{pattern}")))
    damaging.delete(blocks_of(scene.place, DATA)[0])
    return _repair(scene, sibling)


def records_repaired(scene: Scene) -> Callable[[], int]:
    """An open list of candidates, a closed list, a damage record and a note can't be read."""
    scene.write("gone", 120_000)
    scene.back_up()
    (scene.source / "gone").unlink()
    _live_through(scene, parity=None)
    records, now_ns = scene.machine.records(str(scene.place), scene.clock), scene.clock.now_ns()
    names = [name.name for name in records.snapshot_names()]
    first = records.snapshot(names[0])
    drop_snapshots(records, names[:1], now_ns, bytes(16), "")
    scene.run(FreeOrder(place=str(scene.place), limits=Limits(jobs=1, polite=False)))
    scene.note_what_is_there()
    blocks = [bytes.fromhex(path.name) for path in blocks_of(scene.place, DATA, TREE)]
    records.put(ObjectKind.CANDIDATES, naming.gc_name(2, "candidates"), BlockList(2, blocks))
    records.report_damage(Damage(now_ns, bytes(16), [(blocks[0], None)]))
    write_note(records, Note(now_ns, bytes(16), first.id, PIN, "of one that is gone"))
    for pattern in ("gc/2.candidates", "gc/1.deleted", "damage/*", "notes/*"):
        (path,) = scene.place.glob(f"r*/{pattern}")
        damaging.flip(0.5)(path)
    return _repair(scene, confirmed=first.set_name)


def _live_through(scene: Scene, parity: int | None) -> None:
    scene.run(msgspec.structs.replace(backup_order(scene.source, scene.place, Unlock()), parity=parity))
    scene.write("more", 120_000)
    scene.back_up()
    scene.note_what_is_there()
    assert len(scene.good) >= 2


def _sibling(scene: Scene) -> SiblingPlace:
    """All of it at another place, to which the crash does not happen."""
    place = scene.place.with_name("sibling")
    assert scene.run(ReplicateOrder(place=str(scene.place), to=str(place), limits=Limits(polite=False))) == 0
    return SiblingPlace(place=str(place))


def _repair(scene: Scene, *siblings: SiblingPlace, confirmed: str | None = None) -> Callable[[], int]:
    """Broken off, the same command is given again."""
    limits, place = Limits(jobs=1, polite=False), str(scene.place)
    order = CheckOrder(
        place=place, crc=True, repair=True, siblings=list(siblings), confirmed=confirmed, limits=limits
    )
    scene.repeat = lambda: scene.run(order)
    return scene.repeat
