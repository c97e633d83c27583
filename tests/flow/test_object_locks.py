"""Locked objects at a real server: runs keep locked what they need, freeing waits for locks, and says until when."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.model.orders import BackupOrder, Limits, ReplicateOrder
from backupd.model.purge_orders import PurgeOrder
from tests.support.locked_shelf import BUCKET, Shelf, make_bucket, now
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import SeaweedFs

_MIB = 1 << 20
_LOCKED = ("blocks", "index", "snapshots", "keys", "keyring")


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS with a bucket that locks objects."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        make_bucket(running)
        yield running


@pytest.fixture
def shelf(weed: SeaweedFs, tmp_path: Path) -> Shelf:
    return Shelf(weed, tmp_path)


def test_runs_keep_locked_what_they_need_and_nothing_else(shelf: Shelf) -> None:
    """Else history goes with its lock while backups go on, or what nobody needs is retained for ever."""
    short, long = "&lock=compliance&lock_days=2", "&lock=compliance&lock_days=9"
    shelf.write(gone=2 * _MIB)
    first = shelf.back_up(short)
    assert first["locked"]["mode"] == "compliance"
    old = shelf.blocks()
    (shelf.source / "gone").unlink()
    shelf.write(stays=2 * _MIB)
    assert shelf.back_up(short)["locked"]["extended"] < 8
    left = shelf.days_left()
    assert {name.partition("/")[0] for name, days in left.items() if days > 1.9} == {
        *_LOCKED, "repository.json", "repository.json.2",
    }  # fmt: skip
    assert {days for name, days in left.items() if name.startswith(("sessions/", "gc/"))} <= {0.0}

    # The rule became longer: what is locked for less than half of it is looked for and extended, once.
    shelf.write(new=_MIB)
    third = shelf.back_up(long)["locked"]
    assert (third["days"], third["extended"] > 6) == (9, True)
    left = shelf.days_left()
    blocks = {name: days for name, days in left.items() if name.startswith("blocks/")}
    # The data of two files and the newest tree; not the data of `gone`, nor the trees of the runs before.
    assert sorted(days > 8.9 for days in blocks.values()) == [False] * 3 + [True] * 3
    assert max(blocks[name] for name in old) < 2.1
    assert {days for name, days in left.items() if name.startswith(("keys/", "keyring/", "repository"))} == {9.0}
    assert datetime.fromisoformat(third["until"]) > now() + timedelta(days=8.9)
    shelf.write(more=10_000)
    assert shelf.back_up(long)["locked"]["extended"] <= 2
    assert shelf.is_whole(long)


def test_a_copy_at_a_second_place_is_kept_locked(shelf: Shelf, tmp_path: Path) -> None:
    """Else the place that is meant to survive a thief loses what it holds while it is copied to every night."""
    near = tmp_path / "near"
    order = BackupOrder(place=str(near), sources=[bytes(shelf.source)], limits=Limits(jobs=1, polite=False))
    copy: dict[str, Any] = {"place": str(near), "to_access": shelf.access}
    for number, days in enumerate((2, 9, 9)):
        shelf.write(**{f"file{number}": _MIB})
        shelf.clock.ahead_seconds += 120
        shelf.machine.run(order, shelf.clock)
        to = shelf.place(f"&lock=compliance&lock_days={days}")
        done = shelf.machine.run(ReplicateOrder(to=to, **copy), shelf.clock).done
        assert (done.exit_code, done.warnings) == (0, [])
    left = shelf.days_left()
    # The data of three files and the newest tree; a tree that no snapshot of now needs keeps the lock that it got.
    assert [days > 8.9 for name, days in left.items() if name.startswith("blocks/")].count(True) >= 4
    assert min(days for name, days in left.items() if name.startswith("keys/")) == 9.0
    assert min(days for name, days in left.items() if name.startswith("blocks/")) < 2.1


def test_freeing_waits_for_locks_and_says_until_when(shelf: Shelf) -> None:
    """Else a locked block fails each freeing, or is taken for deleted and paid for without end."""
    lock = "&lock=governance&lock_days=5"
    shelf.write(gone=3 * _MIB)
    first = shelf.back_up(lock)
    old = shelf.blocks()
    (shelf.source / "gone").unlink()
    shelf.write(stays=_MIB)
    shelf.back_up(lock)
    said = shelf.free(lock, dry_run=True, set_names=[shelf.source.name], target_bytes=2 * _MIB)
    assert [drop["id"] for drop in said["target"]["drops"]] == [first["snapshot"]]
    assert ([one["what"] for one in said["waiting"]], said["planned_bytes"] > 2 * _MIB) == (["lock"], True)
    shelf.drop(first["snapshot"], lock)
    for found in (shelf.free(lock, dry_run=True), shelf.free(lock), shelf.free("")):
        (waiting,) = found["waiting"]
        assert (waiting["what"], found["deleted"]["blocks"], found["planned_bytes"]) == ("lock", 0, 0)
        until = datetime.fromisoformat(waiting["until"])
        assert abs(until - now() - timedelta(days=5)) < timedelta(minutes=5)
        assert "retained until" in waiting["reason"]
    assert old <= shelf.blocks()
    assert shelf.versions("DeleteMarkers") == []

    _lift_locks(shelf)
    freed = shelf.free(lock)
    assert (freed["waiting"], freed["deleted"]["blocks"] >= 1) == ([], True)
    assert freed["freed_bytes"] > 2.9 * _MIB
    assert not old <= shelf.blocks()
    assert shelf.is_whole(lock)



def test_a_purge_of_all_keeps_what_is_locked_and_says_until_when(shelf: Shelf) -> None:
    """Else it ends at the first lock with all else in place, or says that nothing is left where a key is."""
    lock = "&lock=governance&lock_days=5"
    shelf.write(secret=_MIB)
    shelf.back_up(lock)
    purge = PurgeOrder(place=shelf.place(lock), access=shelf.access, whole=True)
    planned = shelf.machine.run(msgspec.structs.replace(purge, dry_run=True), shelf.clock).result
    purge = msgspec.structs.replace(purge, plan=planned["plan"])
    done = shelf.machine.run(purge, shelf.clock).done
    assert (done.exit_code, done.error and done.error["code"]) == (23, "purge.waits")
    assert done.result is not None
    (waiting,) = done.result["waiting"]
    until = datetime.fromisoformat(waiting["until"])
    assert (waiting["what"], abs(until - now() - timedelta(days=5)) < timedelta(minutes=5)) == ("lock", True)
    left = shelf.days_left()
    assert {name.partition("/")[0] for name, days in left.items() if not days} <= {"gc"}
    assert any(name.startswith("keys/") for name in left)

    _lift_locks(shelf)
    done = shelf.machine.run(purge, shelf.clock).done
    assert (done.exit_code, shelf.days_left()) == (0, {})


def _lift_locks(shelf: Shelf) -> None:
    """As an administrator with the right to do so."""
    for name, days in shelf.days_left().items():
        if days:
            shelf.client.put_object_retention(
                Bucket=BUCKET, Key=f"{shelf.repository}/{name}", BypassGovernanceRetention=True,
                Retention={"Mode": "GOVERNANCE", "RetainUntilDate": now() + timedelta(seconds=2)},
            )  # fmt: skip
    time.sleep(3)
