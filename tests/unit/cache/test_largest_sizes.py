"""The kept sizes of an account's quota: counted wrongly they refuse a backup, or let in what nobody paid for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.cache.largest_sizes import KEY_BYTES, LargestSizes, load
from tests.support.damaging import DAMAGES, Damage

_KEYS = st.one_of(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.sampled_from([bytes(8), b"\xff" * 8, b"a" * 8]))
_SIZES = st.integers(0, (1 << 63) - 1)


def _kept(sizes: LargestSizes, path: Path) -> LargestSizes:
    sizes.save(str(path))
    found = load(str(path))
    assert found is not None
    return found


@given(versions=st.lists(st.tuples(_KEYS, _SIZES), max_size=60), at=st.integers(0, 60))
def test_the_largest_size_of_each_key_counts(
    tmp_path_factory: pytest.TempPathFactory, versions: list[tuple[bytes, int]], at: int
) -> None:
    """In whatever order versions come, and however often they were written to the disk between two of them."""
    wanted: dict[bytes, int] = {}
    sizes = LargestSizes()
    for number, (key, size) in enumerate(versions):
        wanted[key] = max(wanted.get(key, 0), size)
        sizes.add(key, size)
        if number == at:
            sizes = _kept(sizes, tmp_path_factory.getbasetemp() / "sizes")
    assert (sizes.total_bytes, len(sizes)) == (sum(wanted.values()), len(wanted))


def _some() -> LargestSizes:
    random, sizes = Random(7), LargestSizes()
    for _ in range(300):
        sizes.add(random.randbytes(KEY_BYTES), random.randrange(1 << 40))
    sizes.counted, sizes.partly, sizes.passed = {"snapshots/a", "snapshots/b"}, {"snapshots/c"}, {"snapshots/d"}
    return sizes


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    """With the snapshots that it covers: else the next run counts all of them anew, or one of them twice never."""
    sizes = _some()
    found = _kept(sizes, tmp_path / "sizes")
    for name in ("total_bytes", "counted", "partly", "passed"):
        assert getattr(found, name) == getattr(sizes, name), name
    assert found.held == {"snapshots/a", "snapshots/b", "snapshots/c"}
    assert (tmp_path / "sizes").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_none(damage: Damage, tmp_path: Path) -> None:
    """Else a bit that turned over is a terabyte of the quota."""
    _some().save(str(tmp_path / "sizes"))
    damage(tmp_path / "sizes")
    assert load(str(tmp_path / "sizes")) is None


def test_no_bit_of_the_file_is_without_a_check(tmp_path: Path) -> None:
    """All of its header and notes, and some of the rest."""
    path = tmp_path / "sizes"
    _some().save(str(path))
    data = path.read_bytes()
    for at in [*range(130), *range(130, len(data), 37)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert load(str(path)) is None, at
    path.write_bytes(data)
    assert load(str(path)) is not None
    assert load(str(tmp_path / "none")) is None


def test_a_path_takes_32_bytes_at_most(tmp_path: Path) -> None:
    """Else ten million files take gigabytes from a run that is to be kind to its machine."""
    random, sizes = Random(8), LargestSizes()
    count = 100_000
    for _ in range(count):
        sizes.add(random.randbytes(KEY_BYTES), 5)
    held = sum(one.__sizeof__() for one in (*sizes._keys, *sizes._sizes))
    assert held <= 32 * count
    sizes.save(str(tmp_path / "sizes"))
    assert (tmp_path / "sizes").stat().st_size <= 16 * count + 200
