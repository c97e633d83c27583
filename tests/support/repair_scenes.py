"""Damage that a repair heals, laid for a crash to happen to the repair (tests/fault/test_crash_points.py)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from backupd.block.layout import DATA, TREE
from backupd.model.orders import CheckOrder, Limits, ReplicateOrder, SiblingPlace, Unlock
from tests.support import damaging
from tests.support.crashing import Scene, backup_order
from tests.support.damaging import Damage, blocks_of

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
    ways: dict[str, Damage] = {
        "snapshots/*/*": damaging.flip(0.5), "index/*": damaging.truncate(0.5), "repository.json.2": damaging.flip(0.5),
    }  # fmt: skip
    for pattern, damage in ways.items():
        damage(min(scene.place.glob(f"r*/{pattern}")))
    damaging.delete(blocks_of(scene.place, DATA)[0])
    return _repair(scene, sibling)


def _live_through(scene: Scene, parity: int | None) -> None:
    scene.run(msgspec.structs.replace(backup_order(scene.source, scene.place, Unlock()), parity=parity))
    scene.write("more", 120_000)
    scene.back_up()
    scene.note_what_is_there()
    assert len(scene.good) == 2


def _sibling(scene: Scene) -> SiblingPlace:
    """All of it at another place, to which the crash does not happen."""
    place = scene.place.with_name("sibling")
    assert scene.run(ReplicateOrder(place=str(scene.place), to=str(place), limits=Limits(polite=False))) == 0
    return SiblingPlace(place=str(place))


def _repair(scene: Scene, *siblings: SiblingPlace) -> Callable[[], int]:
    """Broken off, the same command is given again."""
    limits = Limits(jobs=1, polite=False)
    order = CheckOrder(place=str(scene.place), crc=True, repair=True, siblings=list(siblings), limits=limits)
    scene.repeat = lambda: scene.run(order)
    return scene.repeat
