"""`check --repair`: what is damaged at a place comes back from its parity or from another place, else it is told."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backupd.block.layout import DATA, TREE
from backupd.errors import DestinationFullError
from backupd.model.orders import CheckOrder, FreeOrder, ReplicateOrder, SiblingPlace
from tests.support import damaging
from tests.support.damaging import blocks_of
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.histories import History
from tests.support.machine import PLUGINS, PYTHON_PATH


class Checked(NamedTuple):
    """How a check ended."""

    exit_code: int
    result: dict[str, Any]
    code: str
    warnings: list[str]


class Pair:
    """A history at one place, and a copy of it at another."""

    def __init__(self, above: Path, parity: int | None = None) -> None:
        above.mkdir(exist_ok=True)
        self.history = History(above, 5)
        self.bench = self.history.bench
        self.bench.write("first", self.history.random.randbytes(3_000_000))
        for number in range(40):
            self.bench.write(f"d{number % 3}/{number}", self.history.random.randbytes(9_000))
        self._back_up(parity)
        self.bench.write("first", self.history.random.randbytes(100_000))
        self.bench.write("d1/new", self.history.random.randbytes(500_000))
        self._back_up(None)
        self.sibling = above / "sibling"

    def _back_up(self, parity: int | None) -> None:
        (run,) = self.bench.back_up(parity=parity).result["runs"]
        self.history.note(run["snapshot"])

    def replicate(self) -> Pair:
        """Copy all to the sibling."""
        order = ReplicateOrder(place=str(self.bench.place), to=str(self.sibling))
        assert self.bench.machine.run(order, self.bench.clock).done.exit_code == 0
        return self

    def objects(self) -> dict[Path, bytes]:
        """All that lies there."""
        return {path: path.read_bytes() for path in self.bench.place.rglob("*") if path.is_file()}

    def damage(self, damage: Callable[[Path], None], *contents: int, place: Path | None = None) -> list[Path]:
        """Damage all blocks of these contents."""
        victims = blocks_of(place or self.bench.place, *contents)
        for path in victims:
            damage(path)
        return victims

    def repair(self, *siblings: str | Path, crc: bool = True, place: str = "", repair: bool = True) -> Checked:
        """Exit code and result."""
        order = CheckOrder(
            place=place or str(self.bench.place),
            crc=crc,
            repair=repair,
            siblings=[SiblingPlace(place=str(one)) for one in siblings],
        )
        done = self.bench.machine.run(order, self.bench.clock).done
        return Checked(done.exit_code, done.result, done.error["code"] if done.error else "", list(done.warnings))

    def check(self, *, crc: bool = True) -> Checked:
        """The same of a check that repairs nothing."""
        return self.repair(crc=crc, repair=False)


def _paths(checked: Checked) -> set[str]:
    return {Path(hit["path"]).name for hit in checked.result["files_hit"]}


def _faulty(above: Path, place: Path) -> FaultyPlace:
    """A store that holds the same."""
    (above / "memory").mkdir()
    faulty = FaultyPlace(above / "memory")
    shutil.copytree(place, faulty.objects, dirs_exist_ok=True)
    return faulty


@contextmanager
def _held_before_its_index(pair: Pair, faulty: FaultyPlace) -> Iterator[tuple[Future[Checked], list[Path]]]:
    """A repair whose new blocks are stored and not yet named, and these blocks."""
    old = blocks_of(faulty.objects, DATA)
    faulty.set_faults(Fault("hold", "put", "index/"))
    with ThreadPoolExecutor(1) as pool:
        repairing = pool.submit(pair.repair, pair.sibling, place=faulty.address)
        while not faulty.is_held() and not repairing.done():
            time.sleep(0.01)
        new = [path for path in blocks_of(faulty.objects, DATA) if path not in old]
        assert new
        try:
            yield repairing, new
        finally:
            faulty.let_go()
    faulty.set_faults()


@pytest.fixture(autouse=True)
def _further_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv("PYTHONPATH", PYTHON_PATH)


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path).replicate()


@pytest.mark.parametrize("content", [DATA, TREE], ids=["data", "trees"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damaging.delete, id="missing"),
        pytest.param(damaging.truncate(0.5), id="cut in half", marks=pytest.mark.nightly),
        pytest.param(damaging.flip(0.5), id="a bit in the middle"),
    ],
)
def test_a_sibling_gives_all_back(pair: Pair, damage: Callable[[Path], None], content: int) -> None:
    """Else a bad sector costs files that lie whole on the other disk; and `free` keeps the damaged blocks for ever."""
    victims = pair.damage(damage, content)
    before = pair.objects()
    repaired = pair.repair(pair.sibling)
    assert (repaired.exit_code, repaired.result["problems"], repaired.result["files_hit"]) == (0, [], [])
    healed = repaired.result["healed"]
    assert healed["files"] > 0
    assert str(pair.sibling) in {one["place"] for one in healed["sources"]}
    after = pair.objects()
    assert all(after.get(path) == data for path, data in before.items()), "something was overwritten or deleted"
    shutil.rmtree(pair.sibling)
    for crc in (False, True):
        checked = pair.check(crc=crc)
        assert (checked.exit_code, checked.result["problems"]) == (0, [])
    pair.history.free()
    assert not [path for path in victims if path.exists()], "a damaged block was kept"
    pair.history.check_all()


def test_all_that_is_damaged_at_once(pair: Pair) -> None:
    """Data, trees and the index: all comes back from what the sibling holds; again, there is nothing to do."""
    victims = pair.damage(damaging.zero(0.3, 0.7), DATA, TREE)
    for path in pair.bench.place.glob("r*/index/*"):
        damaging.flip(0.5)(path)
    repaired = pair.repair(pair.sibling)
    assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
    blocks = len(list(pair.bench.place.glob("r*/blocks/*/*")))
    again = pair.repair(pair.sibling)
    assert (again.exit_code, again.result["healed"]) == (0, None)
    assert len(list(pair.bench.place.glob("r*/blocks/*/*"))) == blocks
    shutil.rmtree(pair.sibling)
    pair.history.free()
    assert not [path for path in victims if path.exists()]
    pair.history.check_all()


def test_a_lost_index_is_made_anew(pair: Pair) -> None:
    """Else what lies whole at the place is fetched once more from the sibling, or told as lost."""
    shutil.rmtree(pair.bench.machine.home / "cache")
    for path in pair.bench.place.glob("r*/index/*"):
        path.unlink()
    repaired = pair.repair()
    assert (repaired.exit_code, repaired.result["problems"], repaired.result["healed"]) == (0, [], None)
    assert repaired.result["rebuilt"]["objects"] > 0
    pair.history.check_all()


def test_what_no_place_gives_is_told_and_the_rest_healed(pair: Pair) -> None:
    """Two disks damaged at different spots: only what both lost is lost, and is stored again from the source."""
    largest, *others = blocks_of(pair.bench.place, DATA)
    damaging.delete(largest)
    for path in others:
        damaging.delete(path)
    theirs = blocks_of(pair.sibling, DATA)
    damaging.truncate(0.5)(theirs[0])
    repaired = pair.repair(pair.sibling)
    assert (repaired.exit_code, repaired.code) == (20, "damage.found")
    assert repaired.result["healed"]["files"] > 0
    lost = _paths(repaired)
    assert lost
    assert _paths(pair.check(crc=False)) == lost, "a plain check must tell the same"
    with_their_help = pair.repair(pair.sibling)
    assert _paths(with_their_help) == lost, "nothing more can be had"


def test_without_a_sibling_the_next_backup_stores_it_again(tmp_path: Path) -> None:
    """Else `--repair` says that all is well where nothing was healed, or the source is not asked."""
    pair = Pair(tmp_path)
    first, second = pair.history.trees
    pair.damage(damaging.delete, DATA)
    for path in pair.bench.source.rglob("*"):
        # The same bytes, but nobody can tell without reading all of them: that is the backup's work.
        os.utime(path, (1, 1))
    before = pair.objects()
    repaired = pair.repair()
    assert repaired.exit_code == 20
    assert (repaired.result["healed"]["chunks"], repaired.result["healed"]["files"]) == (0, 0)
    assert {"first", "new"} <= _paths(repaired)
    assert all(pair.objects()[path] == data for path, data in before.items())
    (run,) = pair.bench.back_up().result["runs"]
    pair.history.note(run["snapshot"])
    checked = pair.check()
    assert {hit["snapshot"] for hit in checked.result["files_hit"]} == {first}, "the source has the second one's still"
    assert _paths(checked) == {"first"}
    pair.history.drop(first)
    pair.history.free()
    assert second in pair.history.trees
    pair.history.check_all()


def test_parity_heals_a_place_by_itself(tmp_path: Path) -> None:
    """Else each restore warns and computes again, until a second bad sector is one too many."""
    pair = Pair(tmp_path, parity=5)
    victims = pair.damage(damaging.flip(0.4), DATA, TREE)
    assert pair.check().exit_code == 20
    repaired = pair.repair()
    assert (repaired.exit_code, repaired.result["problems"]) == (0, [])
    assert [one["place"] for one in repaired.result["healed"]["sources"]] == [str(pair.bench.place)]
    assert pair.check().exit_code == 0
    for path in victims:
        path.unlink()
    pair.history.check_all()
    pair.history.free()
    pair.history.check_all()


@pytest.mark.parametrize("parity", [None, pytest.param(5, marks=pytest.mark.nightly)])
def test_damage_beside_the_chunks_heals_too(tmp_path: Path, parity: int | None) -> None:
    """Else a block whose directory is damaged makes each check end with 20, and nothing but a new repository helps."""
    pair = Pair(tmp_path, parity)
    victims = pair.damage(damaging.flip(1.0), DATA, TREE)
    assert pair.check().exit_code == pair.check().exit_code == 20
    assert pair.repair().exit_code == 0
    assert pair.check().exit_code == 0
    # As a repair leaves it that was killed before its last step.
    shutil.rmtree(next(pair.bench.place.glob("r*/damage")))
    assert pair.check().exit_code == 20
    assert pair.repair().exit_code == 0
    assert pair.check().exit_code == 0
    pair.history.free()
    assert not [path for path in victims if path.exists()]
    pair.history.check_all()


def test_a_place_that_is_no_sibling_is_told_and_nothing_is_lost(pair: Pair, tmp_path: Path) -> None:
    """A missing disk, another repository, the place itself: each is passed over, the good one still asked."""
    stranger = Pair(tmp_path / "stranger")
    pair.damage(damaging.delete, DATA)
    order = [tmp_path / "away", stranger.bench.place, pair.bench.place]
    repaired = pair.repair(*order)
    assert repaired.exit_code == 20
    assert sum("can't be asked" in text for text in repaired.warnings) == 2, repaired.warnings
    repaired = pair.repair(*order, pair.sibling)
    assert repaired.exit_code == 0
    pair.history.check_all()


def test_a_sibling_that_fails_midway_ends_no_repair(pair: Pair, tmp_path: Path) -> None:
    """Else the first broken line ends it, though a second sibling has all."""
    faulty = _faulty(tmp_path, pair.sibling)
    pair.damage(damaging.delete, DATA)
    faulty.set_faults(Fault("refused", "get", "blocks/", first=1, times=1000))
    repaired = pair.repair(faulty.address, pair.sibling)
    assert faulty.struck()
    assert repaired.exit_code == 0
    pair.history.check_all()


def test_a_full_place_ends_it_and_nothing_is_lost(pair: Pair, tmp_path: Path) -> None:
    """Else what is healed is only half there, or something goes to make room. With room it goes on."""
    faulty = _faulty(tmp_path, pair.bench.place)
    blocks_of(faulty.objects, DATA)[0].unlink()
    before = {path: path.read_bytes() for path in faulty.objects.rglob("*") if path.is_file()}
    faulty.set_faults(Fault("full", "put", "blocks/", times=1000))
    with pytest.raises(DestinationFullError):
        pair.repair(pair.sibling, place=faulty.address)
    after = {path: path.read_bytes() for path in faulty.objects.rglob("*") if path.is_file()}
    assert all(after.get(path) == data for path, data in before.items())
    faulty.set_faults()
    assert pair.repair(pair.sibling, place=faulty.address).exit_code == 0
    shutil.rmtree(pair.bench.place)
    faulty.objects.rename(pair.bench.place)
    pair.history.check_all()


def test_a_freeing_beside_it_takes_no_chunk_unseen(pair: Pair, tmp_path: Path) -> None:
    """New blocks that no index object names yet are nobody's for a cleaner: else "repaired" is said of what is gone."""
    faulty = _faulty(tmp_path, pair.bench.place)
    for path in blocks_of(faulty.objects, DATA):
        damaging.flip(0.5)(path)
    with _held_before_its_index(pair, faulty) as (repairing, new):
        freed = pair.bench.machine.run(FreeOrder(place=faulty.address), pair.bench.clock).result
        faulty.let_go()
        repaired = repairing.result()
    assert freed["deleted"]["blocks"] >= len(new) > 0
    assert not [path for path in new if path.exists()]
    assert repaired.exit_code == 20
    assert _paths(repaired)
    assert pair.repair(pair.sibling, place=faulty.address).exit_code == 0
    shutil.rmtree(pair.bench.place)
    faulty.objects.rename(pair.bench.place)
    pair.history.check_all()


def test_a_healed_block_that_does_not_stay_whole_is_told(pair: Pair, tmp_path: Path) -> None:
    """Else a dying disk says "repaired", and the damaged block that a better tool might read is deleted."""
    faulty = _faulty(tmp_path, pair.bench.place)
    for path in blocks_of(faulty.objects, DATA):
        path.unlink()
    with _held_before_its_index(pair, faulty) as (repairing, new):
        for path in new:
            damaging.flip(0.5)(path)
        faulty.let_go()
        repaired = repairing.result()
    assert repaired.exit_code == 20
    assert any(new[0].name in problem["object"] for problem in repaired.result["problems"])
    assert _paths(repaired)
    assert pair.repair(pair.sibling, place=faulty.address).exit_code == 0
