"""A place that was put back to an older state (DESIGN 3): told at the first contact, by whatever is done there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backupd.errors import DamageError, RollbackError, SetNotFoundError
from backupd.model.known_as import KnownAs
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


def _set_name(bench: Bench) -> str:
    listed = bench.machine.run(SnapshotListOrder(place=str(bench.place))).done.result["snapshots"]
    return str(listed[0]["set"])


def _checked(bench: Bench, set_name: str, *, is_accepted: bool = False, by_daemon: bool = True) -> tuple[int, object]:
    known = KnownAs(set="docs", destination="usb") if by_daemon else None
    order = CheckOrder(place=str(bench.place), set_names=[set_name], accept_rollback=is_accepted, known_as=known)
    try:
        done = bench.machine.run(order).done
    except (RollbackError, SetNotFoundError) as error:
        return error.exit_code, error.code
    return done.exit_code, _code(done.error)


def test_that_all_of_a_set_is_gone_is_told_and_can_be_accepted(rolled_back: Bench) -> None:
    """A daemon checks set by set: who asks for one that is gone is told why, and not that nobody knows it."""
    name = _set_name(rolled_back)
    for snapshot in rolled_back.place.glob("r*/snapshots/*/*"):
        snapshot.unlink()
    for by_daemon in (True, False):
        assert _checked(rolled_back, name, by_daemon=by_daemon) == (RollbackError.exit_code, RollbackError.code)
    assert _checked(rolled_back, name, is_accepted=True)[0] == SetNotFoundError.exit_code
    assert _checked(rolled_back, name)[0] == SetNotFoundError.exit_code


def test_a_set_whose_snapshots_are_all_damaged_is_no_unknown_set(tmp_path: Path) -> None:
    """The damage is what has to be told."""
    bench = Bench(tmp_path)
    bench.write("f", b"first")
    bench.back_up()
    name = _set_name(bench)
    for snapshot in bench.place.glob("r*/snapshots/*/*"):
        snapshot.write_bytes(b"no snapshot" + snapshot.read_bytes()[11:])
    assert _checked(bench, name) == (DamageError.exit_code, DamageError.code)
