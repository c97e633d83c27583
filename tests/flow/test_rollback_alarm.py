"""A place that was put back to an older state (DESIGN 3): told at the first contact, by whatever is done there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backupd.errors import RollbackError
from backupd.model.orders import CheckOrder, RestoreOrder, Selection, SnapshotListOrder
from tests.support.backing_up import Bench, run_of


@pytest.fixture
def rolled_back(tmp_path: Path) -> Bench:
    """Two snapshots were made, then the place of the first came back."""
    bench = Bench(tmp_path)
    bench.write("f", b"first")
    bench.back_up()
    shutil.copytree(bench.place, tmp_path / "older")
    bench.write("f", b"second")
    bench.back_up()
    shutil.rmtree(bench.place)
    (tmp_path / "older").rename(bench.place)
    return bench


def _code(error: dict[str, object] | None) -> object:
    return error and error["code"]


def test_a_listing_tells_and_still_lists(rolled_back: Bench) -> None:
    """Else somebody restores last month's files for last night's and never knows."""
    done = rolled_back.machine.run(SnapshotListOrder(place=str(rolled_back.place))).done
    assert (done.exit_code, _code(done.error)) == (20, RollbackError.code)
    assert len(done.result["snapshots"]) == 1


def test_a_restore_gives_what_is_left_and_tells(rolled_back: Bench) -> None:
    """Else who needs his files gets none, or old ones without a word."""
    target = rolled_back.above / "target"
    order = RestoreOrder(place=str(rolled_back.place), selection=Selection(), to=bytes(target))
    done = rolled_back.machine.run(order).done
    assert (done.exit_code, _code(done.error)) == (20, RollbackError.code)
    assert (target / str(rolled_back.source)[1:] / "f").read_bytes() == b"first"


def test_a_backup_is_stored_whole_and_tells_until_it_is_accepted(rolled_back: Bench) -> None:
    """Else today's files have no backup while somebody looks into it, or nobody ever looks into it."""
    for _ in range(2):
        outcome = rolled_back.back_up()
        assert (outcome.done.exit_code, _code(outcome.done.error)) == (20, RollbackError.code)
        assert run_of(outcome)["exit"] == 20
    restored = rolled_back.above / "restored1" / str(rolled_back.source)[1:]
    rolled_back.machine.run(
        RestoreOrder(place=str(rolled_back.place), selection=Selection(), to=bytes(rolled_back.above / "restored1"))
    )
    assert (restored / "f").read_bytes() == b"second"
    check = CheckOrder(place=str(rolled_back.place))
    assert rolled_back.machine.run(check).done.exit_code == 20
    accepting = CheckOrder(place=str(rolled_back.place), accept_rollback=True)
    assert rolled_back.machine.run(accepting).done.exit_code == 0
    assert rolled_back.back_up().done.exit_code == 0


def test_a_host_that_never_saw_the_place_tells_nothing(rolled_back: Bench) -> None:
    """Else each new machine begins with a false alarm."""
    other = type(rolled_back.machine)(rolled_back.above / "other")
    shutil.copytree(rolled_back.machine.keys, other.keys)
    assert other.run(SnapshotListOrder(place=str(rolled_back.place))).done.exit_code == 0
