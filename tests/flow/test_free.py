"""`free`: space that no snapshot needs goes back to the store, and all that one needs stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.destination.contract import Destination, ObjectInfo
from backupd.errors import DamageError, NewerVersionError, SetNotFoundError
from backupd.model.orders import SnapshotListOrder
from tests.support.histories import History

_MIB = 1 << 20


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 11)


def test_what_only_a_dropped_snapshot_needed_goes(history: History) -> None:
    """Else a disk fills up with what nobody can restore any more."""
    first = history.back_up({"gone": 6 * _MIB, "stays": 2 * _MIB, "d/stays": 40_000})
    history.remove("gone")
    history.back_up({"new": _MIB})
    before = history.bench.stored_bytes()
    history.drop(first)
    freed = history.free()
    assert freed["freed_bytes"] == before - history.bench.stored_bytes() > 5.9 * _MIB
    assert freed["before"]["stored_bytes"] == before
    assert freed["after"]["stored_bytes"] == history.bench.stored_bytes()
    assert freed["waiting"] == []
    history.check_all()
    assert history.free()["freed_bytes"] == 0


def test_what_was_written_anew_is_left_alone(history: History) -> None:
    """Else each freeing writes the same blocks again, for nothing: a dead chunk may be few bytes and one of few."""
    first = history.back_up({"gone": 30_000, **{f"stays{number}": 120_000 for number in range(7)}})
    history.remove("gone")
    history.back_up({"new": _MIB})
    history.drop(first)
    assert history.free()["rewritten"]["blocks"] > 0
    assert history.free()["rewritten"]["blocks"] == 0
    history.check_all()


def test_drop_records_are_put_together(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run reads a record for each snapshot that ever went; and who reads meanwhile misses none."""
    for number in range(9):
        history.drop(history.back_up({f"file{number}": 1000}))
    history.back_up({"last": 1000})
    records = history.records()
    void = records.void_names()
    reader, place = history.records(), records.place
    listing, freed = type(place).list, list[dict[str, Any]]()

    def list_and_sleep(self: Destination, prefix: str) -> Iterator[ObjectInfo]:
        found = list(listing(self, prefix))
        if not freed:
            freed.append({})
            freed.append(history.free())
        return iter(found)

    monkeypatch.setattr(type(place), "list", list_and_sleep)
    assert reader.void_names() == void
    assert freed[1]["removed"]["drop_records"] == 9
    assert len(history.records().drops()) == 1
    assert history.records().void_names() == void
    assert history.free()["removed"]["drop_records"] == 0
    history.back_up({"after": 1000})
    history.check_all()


def test_nothing_goes_that_a_snapshot_needs(history: History) -> None:
    """Else a freeing is the end of a backup."""
    for number in range(4):
        history.back_up({f"file{number}": 300_000, "changes": 500_000})
    before = history.bench.stored_bytes()
    freed = history.free()
    assert freed["deleted"]["blocks"] == freed["rewritten"]["blocks"] == 0
    assert history.bench.stored_bytes() == before
    history.check_all()


def test_the_next_runs_build_on_what_is_left(history: History) -> None:
    """Else the run after a freeing names chunks that are gone, or stores all again."""
    first = history.back_up({"gone": 3 * _MIB, "stays": 3 * _MIB})
    gone = (history.bench.source / "gone").read_bytes()
    history.remove("gone")
    history.back_up({"other": 10_000})
    history.drop(first)
    history.free()
    after = history.bench.stored_bytes()
    history.bench.write("back again", gone)
    history.back_up({"new": 1000})
    assert 3 * _MIB < history.bench.stored_bytes() - after < 3.3 * _MIB
    history.check_all()
    assert history.bench.differences() == []


def test_segments_of_which_little_is_needed_are_put_together(history: History) -> None:
    """Else one small file that stays keeps a megabyte of deleted ones."""
    few = {f"{number}": 20_000 for number in range(200)}
    first = history.back_up(few)
    for name in [name for name in few if int(name) % 10]:
        history.remove(name)
    history.back_up({"new": 1000})
    history.drop(first)
    freed = history.free()
    assert freed["rewritten"]["blocks"] >= 1
    live = sum(path.stat().st_size for path in history.bench.source.iterdir())
    assert history.bench.stored_bytes() < 1.05 * live + 30_000
    history.check_all()


def test_small_blocks_of_many_runs_become_few(history: History) -> None:
    """Else years of small runs are a hundred thousand objects, each of which is listed and paid for."""
    for number in range(10):
        history.back_up({f"{number}": 3000})
    before = len(list(history.bench.place.glob("r*/blocks/*/*")))
    history.free()
    assert len(list(history.bench.place.glob("r*/blocks/*/*"))) <= 3 < before
    history.check_all()


def test_a_dry_run_only_says_what_would_go(history: History) -> None:
    first = history.back_up({"gone": 4 * _MIB})
    history.remove("gone")
    history.back_up({"new": 1000})
    history.drop(first)
    before = sorted(path for path in history.bench.place.rglob("*"))
    said = history.free(dry_run=True)
    assert sorted(path for path in history.bench.place.rglob("*")) == before
    assert said["freed_bytes"] == 0
    assert 4 * _MIB < said["planned_bytes"] < 4.2 * _MIB
    assert history.free()["freed_bytes"] >= 4 * _MIB


def test_a_set_that_is_not_there_ends_it(history: History) -> None:
    """Else who mistypes the place has another repository looked after, and is told that all is well."""
    first = history.back_up({"gone": 4 * _MIB})
    history.remove("gone")
    history.back_up({"new": 1000})
    history.drop(first)
    before = history.bench.stored_bytes()
    for is_dry in (True, False):
        with pytest.raises(SetNotFoundError):
            history.free(set_names=["other"], dry_run=is_dry)
    assert history.bench.stored_bytes() == before
    listed = history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"]
    assert history.free(set_names=[listed[0]["set"]])["freed_bytes"] >= 4 * _MIB


@contextmanager
def _spoiled(path: Path) -> Iterator[None]:
    """Another bit in the middle of a file."""
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    yield
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["snapshots/*", "index", "gc/drop-"])
def test_what_cant_be_read_ends_it_before_anything_is_deleted(history: History, kind: str) -> None:
    """Else a bad sector in one snapshot makes the freeing delete all that only this snapshot needs."""
    first = history.back_up({"gone": 2 * _MIB})
    history.remove("gone")
    history.back_up({"new": 1000})
    history.back_up({"more": 1000})
    history.drop(first)
    before = history.bench.stored_bytes()
    pattern = f"r*/{kind}*" if kind.endswith("-") else f"r*/{kind}/*"
    path = next(iter(sorted(history.bench.place.glob(pattern))))
    # What this host has read before of the index, it need not read again.
    shutil.rmtree(history.bench.machine.environ["XDG_CACHE_HOME"])
    with _spoiled(path), pytest.raises(DamageError):
        history.free()
    assert history.bench.stored_bytes() == before
    assert not list(history.bench.place.glob("r*/gc/*.candidates"))
    history.free()
    history.check_all()


def test_what_a_newer_version_wrote_ends_it(history: History) -> None:
    """Else an old program deletes what it does not know to be needed."""
    first = history.back_up({"gone": 2 * _MIB})
    history.remove("gone")
    history.back_up({"new": 1000})
    history.drop(first)
    path = next(history.bench.place.glob("r*/snapshots/*/*"))
    data = bytearray(path.read_bytes())
    data[8:12] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    before = history.bench.stored_bytes()
    with pytest.raises((NewerVersionError, DamageError)):
        history.free()
    assert history.bench.stored_bytes() == before
