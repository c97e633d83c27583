"""`check --repair` of what lies in no block: snapshots, keyrings, key slots, the texts of a repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.block.layout import DATA
from backupd.errors import BackupError
from backupd.model.orders import KeyOrder, ReplicateOrder
from tests.flow.test_repair import Pair
from tests.support import damaging


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path).replicate()


def _one(pair: Pair, pattern: str) -> Path:
    return sorted(pair.bench.place.glob(pattern))[0]


@pytest.mark.parametrize("damage", [damaging.flip(0.5), damaging.truncate(0.0)], ids=["a bit", "empty"])
def test_a_damaged_snapshot_is_copied_again(pair: Pair, damage: Callable[[Path], None]) -> None:
    """Else one bit costs a whole snapshot, and no space is given back any more until somebody drops it by hand."""
    victims = sorted(pair.bench.place.glob("r*/snapshots/*/*"))
    for path in victims:
        damage(path)
    pair.damage(damaging.delete, DATA)
    assert pair.check(crc=False).exit_code == 20
    repaired = pair.repair(pair.sibling)
    assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
    assert {Path(one["object"]).name for one in repaired.result["healed_objects"]} == {path.name for path in victims}
    assert not any(path.exists() for path in victims)
    shutil.rmtree(pair.sibling)
    pair.history.check_all()
    pair.history.free()
    pair.history.check_all()


def test_a_damaged_snapshot_that_was_copied_before_is_given_up(pair: Pair) -> None:
    """By a repair that was killed before it dropped the damaged name; else every check tells of that name for ever."""
    victims = sorted(pair.bench.place.glob("r*/snapshots/*/*"))
    for path in victims:
        damaging.flip(0.5)(path)
    order = ReplicateOrder(place=str(pair.sibling), to=str(pair.bench.place))
    assert pair.bench.machine.run(order, pair.bench.clock).done.exit_code == 0
    repaired = pair.repair(pair.sibling, crc=False)
    assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
    assert {Path(one["object"]).name for one in repaired.result["healed_objects"]} == {path.name for path in victims}
    pair.history.check_all()


def test_without_the_snapshot_at_the_sibling_nothing_is_dropped(pair: Pair) -> None:
    """A damaged snapshot may be read by a better tool; a dropped one is gone."""
    victim = _one(pair, "r*/snapshots/*/*")
    damaging.flip(0.5)(victim)
    for path in pair.sibling.glob("r*/snapshots/*/*"):
        path.unlink()
    data = victim.read_bytes()
    repaired = pair.repair(pair.sibling)
    assert (repaired.exit_code, repaired.result["healed_objects"]) == (20, [])
    assert victim.read_bytes() == data


@pytest.mark.parametrize("name", ["repository.json", "repository.json.2"])
@pytest.mark.parametrize("damage", [damaging.delete, damaging.flip(0.5)], ids=["missing", "a bit"])
def test_the_texts_of_a_repository_heal_by_each_other(
    pair: Pair, name: str, damage: Callable[[Path], None]
) -> None:
    """One of two is enough to open it; the second bad sector takes the other one."""
    victim = _one(pair, f"r*/{name}")
    good = victim.read_bytes()
    damage(victim)
    repaired = pair.repair(crc=False)
    assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
    assert victim.read_bytes() == good


def test_keys_come_from_the_sibling(pair: Pair) -> None:
    """Else a keyring of before a rotation is lost with all that was sealed under it, or a password opens nothing."""
    for verb in ("rotate", "add"):
        order = KeyOrder(place=str(pair.bench.place), verb=verb)
        assert pair.bench.machine.run(order, pair.bench.clock).done.exit_code == 0
    # A new one, for only that gets all slots.
    pair.sibling = pair.sibling.with_name("another")
    pair.replicate()
    own = sorted(pair.bench.place.glob("r*/key*/*"))
    kept = {path: path.read_bytes() for path in own}
    assert pair.check(crc=False).exit_code == 0
    healed = set()
    for path in own:
        damaging.flip(0.0)(path)
        try:
            repaired = pair.repair(pair.sibling, crc=False)
        except BackupError:
            # What the key at hand opens with: without it nothing here is read, so nothing is repaired either.
            path.write_bytes(kept[path])
            continue
        assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
        assert path.read_bytes() == kept[path]
        healed.add(path.parent.name)
    assert healed == {"keyring", "keys"}
