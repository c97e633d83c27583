"""A place that loses or cuts what it said it has: the run stores it again, and no snapshot is made of what is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.store_errors import BlocksLostError, StoredAgainError
from tests.support.backing_up import Bench
from tests.support.damaging import striking


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("strike", [Path.unlink, _cut], ids=["lost", "cut"])
def test_what_the_place_lost_before_the_commit_is_stored_again(tmp_path: Path, strike: Callable[[Path], None]) -> None:
    """Else a disk that swallows a write gives a run that says it is good, and a restore that finds nothing."""
    bench = _bench(tmp_path)
    with striking(bench.place, strike) as struck:
        outcome = bench.back_up()
    assert struck
    assert (outcome.done.exit_code, (outcome.done.error or {}).get("code")) == (3, StoredAgainError.code), outcome
    assert any("is not at the destination as it was sent" in warning for warning in outcome.done.warnings)
    assert len(list(bench.place.glob("r*/snapshots/*/*"))) == 1
    assert bench.differences() == []
    assert bench.back_up().done.exit_code == 0


def test_only_what_was_lost_is_read_again(tmp_path: Path) -> None:
    """A first run of a day must not begin again for one block: it goes on from its last checkpoint."""
    bench = _bench(tmp_path)
    bench.back_up()
    bench.write("new", os.urandom(300_000))
    held = sum(path.stat().st_size for path in bench.place.glob("r*/blocks/*/*"))
    with striking(bench.place, Path.unlink) as struck:
        outcome = bench.back_up()
    assert struck
    assert outcome.done.exit_code == 3, outcome
    assert sum(path.stat().st_size for path in bench.place.glob("r*/blocks/*/*")) < held + 600_000
    assert bench.differences() == []


def test_a_place_that_loses_all_makes_no_snapshot(tmp_path: Path) -> None:
    """A run that ends well there would be a lie, however often it sent its blocks; the next one stores them."""
    bench = _bench(tmp_path)
    with striking(bench.place, Path.unlink, 1000) as struck, pytest.raises(BlocksLostError):
        bench.back_up()
    assert len(struck) > 1
    assert not list(bench.place.glob("r*/snapshots/*/*"))
    bench.back_up()
    assert bench.differences() == []


def _bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    for number in range(20):
        bench.write(f"folder/file{number}", os.urandom(200_000))
    return bench
