"""Damaged blocks of a place that is the only one (FEATURES 5.6): within the strength of their parity all comes back.

A repository of 5 % parity is made once; in each case the blocks of data and of trees are damaged in one way, then the
newest snapshot is restored and the place is checked.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from random import Random

import pytest

from backupd.block.layout import BLOCK_HEADER_BYTES, MAX_BLOCK_BYTES, TRAILER_BYTES
from backupd.block.parity_layout import SECTOR_BYTES, Geometry, find_description, geometry
from backupd.model.orders import CheckOrder, DecryptOrder, Limits, ReplicateOrder
from tests.fault.conftest import Faults
from tests.support.ledger import hash_tree
from tests.support.restoring import Kept

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

PERCENT = 5
_LARGE_BYTES = 5 << 20
_SMALL_FILES = 900

Strike = Callable[[bytearray, Geometry, int, Random], None]
"""Damages a block's bytes; the number is where its directory begins."""


def _zero(data: bytearray, start: int, sectors: int) -> None:
    start = max(0, start) // SECTOR_BYTES * SECTOR_BYTES
    data[start : start + sectors * SECTOR_BYTES] = bytes(len(data[start : start + sectors * SECTOR_BYTES]))


def _run(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    _zero(data, random.randrange(len(data)), shape.parity_sectors)


def _run_over_the_directory(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    _zero(data, directory - shape.parity_sectors * SECTOR_BYTES // 2, shape.parity_sectors)


def _run_over_the_end(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    _zero(data, len(data) - shape.parity_sectors * SECTOR_BYTES, shape.parity_sectors + 1)


def _scattered(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    for group in range(shape.groups):
        for sector in random.sample(range(group, shape.sectors, shape.groups), min(shape.parities, shape.rows - 1)):
            start = sector * SECTOR_BYTES
            data[random.randrange(start, min(start + SECTOR_BYTES, shape.data_bytes))] ^= random.randrange(1, 256)


def _header(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    data[:BLOCK_HEADER_BYTES] = random.randbytes(BLOCK_HEADER_BYTES)


def _trailer(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    data[-TRAILER_BYTES:] = random.randbytes(TRAILER_BYTES)


def _all_three(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    _header(data, shape, directory, random)
    _trailer(data, shape, directory, random)
    data[directory + random.randrange(100)] ^= 1


def _cut(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    del data[-shape.parity_sectors * SECTOR_BYTES + random.randrange(SECTOR_BYTES) :]


def _parity_itself(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
    _zero(data, shape.data_bytes + shape.first_parity, shape.parity_sectors)


STRIKES: dict[str, Strike] = {
    "a run anywhere": _run,
    "a run over the directory": _run_over_the_directory,
    "a run over the end": _run_over_the_end,
    "scattered bytes": _scattered,
    "header": _header,
    "trailer": _trailer,
    "header, directory, trailer": _all_three,
    "cut off": _cut,
    "the parity itself": _parity_itself,
}


class _Place:
    """A place with one backup of parity, as it was stored, and what is done to it."""

    def __init__(self, above: Path, random: Random) -> None:
        self.kept = Kept(above)
        self.kept.write("large", random.randbytes(_LARGE_BYTES))
        for number in range(_SMALL_FILES):
            self.kept.write(f"d{number % 7}/{number}", random.randbytes(random.randrange(1, 2000)))
        self.kept.back_up(parity=PERCENT)
        self.truth = hash_tree(self.kept.source)
        # Of less than ten sectors, as that of few files' trees, a block has one of parity.
        self.good = {path: path.read_bytes() for path in self.kept.place.glob("r*/blocks/*/*")}
        self._targets = 0

    def shape(self, path: Path) -> tuple[Geometry, int]:
        """Of a block: its geometry, and where its directory begins."""
        about = find_description(self.good[path], MAX_BLOCK_BYTES)
        assert about is not None
        assert about.percent == PERCENT
        return geometry(about.data_bytes, PERCENT), about.directory_offset

    def strike(self, strike: Strike, random: Random) -> None:
        """Damage all blocks; caches of this host know nothing any more."""
        for path, data in self.good.items():
            spoiled = bytearray(data)
            strike(spoiled, *self.shape(path), random)
            path.write_bytes(spoiled)
        shutil.rmtree(self.kept.machine.home / "cache", ignore_errors=True)
        for folder in self.kept.place.glob("r*/damage"):
            shutil.rmtree(folder)

    def restore(self) -> tuple[int, str, list[str]]:
        """Exit code, hash of what came back, warnings."""
        shutil.rmtree(self.kept.target, ignore_errors=True)
        done = self.kept.restore().done
        found = hash_tree(self.kept.restored)
        return done.exit_code, found, list(done.warnings)

    def check(self, *, crc: bool) -> tuple[int, dict[str, object]]:
        """Exit code and result."""
        limits = Limits(jobs=2, polite=False)
        done = self.kept.machine.run(CheckOrder(place=str(self.kept.place), crc=crc, limits=limits)).done
        return done.exit_code, done.result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> _Place:
    return _Place(tmp_path_factory.mktemp("parity"), Random(5))


_BY_NIGHT = ("a run over the end", "trailer")
"""What hits them and more is tried at every change: cut ends, and header, directory and trailer at once."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name in _BY_NIGHT)) for name in STRIKES]
)
def test_damage_within_the_strength_costs_nothing(made: _Place, faults: Faults, name: str) -> None:
    """The only copy lies on a disk that loses sectors: else each loses the files that lay there."""
    random = faults.random()
    counted: Counter[str] = Counter()
    for _ in range(faults.damages or 1):
        made.strike(STRIKES[name], random)
        exit_code, found, warnings = made.restore()
        assert (exit_code, found) == (0, made.truth), warnings
        # A block that is read from its frames on may not need its end.
        counted.update(restores=1, told=bool(warnings))
        exit_code, result = made.check(crc=True)
        assert exit_code == 20, "a block that is damaged must be told although it can be healed"
        assert (result["files_hit_count"], result["healable_blocks"]) == (0, len(made.good)), result
        assert all("can be healed from its parity" in str(one) for one in result["problems"]), result  # type: ignore[attr-defined]
        counted.update(checks=1)
    print(name, dict(counted))  # noqa: T201 - counts for docs/reliability.md


@pytest.mark.parametrize("name", ["a run", "scattered bytes"])
def test_damage_beyond_the_strength_is_told_and_nothing_wrong_is_given(made: _Place, faults: Faults, name: str) -> None:
    """What can't be healed is lost and said to be; the rest comes back as it was."""

    def strike(data: bytearray, shape: Geometry, directory: int, random: Random) -> None:
        if name == "a run":
            _zero(data, BLOCK_HEADER_BYTES, 2 * shape.parity_sectors + 2)
        else:
            for sector in range(0, shape.sectors, shape.groups)[: shape.parities + 1]:
                data[sector * SECTOR_BYTES + 100] ^= 1

    random = faults.random()
    made.strike(strike, random)
    _, result = made.check(crc=True)
    assert result["healable_blocks"] == 0
    lost = result["files_hit_count"]
    assert lost
    shutil.rmtree(made.kept.target, ignore_errors=True)
    done = made.kept.restore().done
    assert done.exit_code == 20, done
    for path in made.kept.restored.rglob("*"):
        if path.is_file():
            source = made.kept.source / path.relative_to(made.kept.restored)
            assert path.read_bytes() == source.read_bytes(), path


@pytest.fixture
def apart() -> Generator[Path, None, None]:
    """A directory above which nobody else makes any: their times are in the trees, which are to be the same again."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def test_a_plain_check_after_it_knows_what_can_be_healed(apart: Path, faults: Faults) -> None:
    """Else the nightly check names files as lost that a restore brings back, once `check --crc` recorded the damage.

    The next backup stores what is bad once more, for the parity left may not make up for the next sector.
    """
    made = _Place(apart, faults.random())
    made.strike(_scattered, faults.random())
    made.check(crc=True)
    exit_code, result = made.check(crc=False)
    assert (exit_code, result["files_hit_count"], result["healable_blocks"]) == (20, 0, len(made.good)), result
    made.kept.back_up()
    fresh = set(made.kept.place.glob("r*/blocks/*/*")) - made.good.keys()
    assert sum(path.stat().st_size for path in fresh) > _LARGE_BYTES // 4
    for crc in (False, True):
        exit_code, result = made.check(crc=crc)
        assert (exit_code, result["problems"]) == (0, []), "what is stored once more is no problem any more"


def test_a_copy_made_of_damaged_blocks_is_whole(made: _Place, faults: Faults, tmp_path: Path) -> None:
    """Who moves away from a dying disk gets a sound repository, and is told what the old one was."""
    made.strike(_scattered, faults.random())
    to = str(tmp_path / "new")
    done = made.kept.machine.run(ReplicateOrder(place=str(made.kept.place), to=to)).done
    assert done.exit_code == 0, done
    assert sum("healed from its parity" in warning for warning in done.warnings) == len(made.good)
    checked = made.kept.machine.run(CheckOrder(place=to, crc=True)).done
    assert (checked.exit_code, checked.result["problems"]) == (0, [])


def test_bare_blocks_are_decrypted_by_their_parity(made: _Place, faults: Faults, tmp_path: Path) -> None:
    """The index is gone, too: blocks that were rescued off a dying disk are read from their own directories."""
    made.strike(_scattered, faults.random())
    rescued = tmp_path / "rescued"
    shutil.copytree(next(made.kept.place.glob("r*")), rescued)
    shutil.rmtree(rescued / "index")
    order = DecryptOrder(place=str(rescued), paths=[], to=str(tmp_path / "out").encode())
    done = made.kept.machine.run(order).done
    assert done.exit_code == 0, done
    assert hash_tree(tmp_path / "out" / str(made.kept.source)[1:]) == made.truth
