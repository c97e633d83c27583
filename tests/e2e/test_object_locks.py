"""Locked objects at a real server: runs keep locked what they need, freeing waits for locks, and says until when."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.model.orders import BackupOrder, CheckOrder, FreeOrder, Limits, RestoreOrder, Selection
from backupd.model.store_access import StoreAccess
from backupd.repository.dropping import drop_snapshots
from backupd.snapshot import naming
from tests.support.compare import compare_trees
from tests.support.machine import LaterClock, Machine
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import OWNER, SeaweedFs, credentials

BUCKET = "locked"
_MIB = 1 << 20
_LOCKED = ("blocks", "index", "snapshots", "keys", "keyring")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS with a bucket that locks objects."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        seaweedfs.client_of_owner(running.endpoint).create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        yield running


class Shelf:
    """A machine, a source, and a prefix of the bucket."""

    def __init__(self, weed: SeaweedFs, above: Path) -> None:
        self.client = seaweedfs.client_of_owner(weed.endpoint)
        self.prefix = f"host{next(_numbers)}"
        self.machine, self.clock, self.random = Machine(above / "home"), LaterClock(0.0), Random(5)
        self.source, self._above, self._endpoint = above / "source", above, weed.endpoint
        self.source.mkdir()
        self.access = StoreAccess(credentials=credentials(OWNER), allow_plaintext=True)

    def place(self, lock: str) -> str:
        """Its address."""
        return f"s3://{BUCKET}/{self.prefix}?endpoint={self._endpoint}{lock}"

    def write(self, **sizes: int) -> None:
        """Files of so many random bytes."""
        for name, size in sizes.items():
            (self.source / name).write_bytes(self.random.randbytes(size))

    def back_up(self, lock: str) -> dict[str, Any]:
        """What the run says of its place."""
        self.clock.ahead_seconds += 120
        limits = Limits(jobs=1, polite=False)
        order = BackupOrder(place=self.place(lock), access=self.access, sources=[bytes(self.source)], limits=limits)
        done = self.machine.run(order, self.clock).done
        assert done.exit_code == 0, done
        (run,) = done.result["runs"]
        (found,) = run["destinations"]
        return {"snapshot": run["snapshot"], **found}

    def drop(self, snapshot: str, lock: str) -> None:
        """As retention does it."""
        records = self.machine.records(self.place(lock), self.clock, access=self.access)
        names = [one.name for one in records.snapshot_names() if naming.snapshot_id_text(one.session) == snapshot]
        assert drop_snapshots(records, names, self.clock.now_ns(), bytes(16), "a test") == 0

    def free(self, lock: str, *, dry_run: bool = False) -> dict[str, Any]:
        """The result of a freeing."""
        order = FreeOrder(place=self.place(lock), access=self.access, dry_run=dry_run)
        done = self.machine.run(order, self.clock).done
        assert done.exit_code == 0
        return done.result

    def is_whole(self, lock: str) -> bool:
        """Whether a check finds nothing, and the newest snapshot comes back."""
        found = self.machine.run(CheckOrder(place=self.place(lock), access=self.access, crc=True), self.clock)
        target = self._above / f"back{next(_numbers)}"
        order = RestoreOrder(place=self.place(lock), access=self.access, selection=Selection(), to=bytes(target))
        self.machine.run(order, self.clock)
        return found.result["problems"] == [] and compare_trees(self.source, target / str(self.source)[1:]) == []

    def versions(self, kind: str = "Versions") -> list[dict[str, Any]]:
        """Of all objects of the repository."""
        found = self.client.list_object_versions(Bucket=BUCKET, Prefix=f"{self.prefix}/r")
        return list(found.get(kind, ()))

    @property
    def repository(self) -> str:
        """What the keys of its objects begin with."""
        return "/".join(str(self.versions()[0]["Key"]).split("/")[:2])

    def days_left(self) -> dict[str, float]:
        """How long each object is locked, by its name below the repository."""
        found: dict[str, float] = {}
        for one in self.versions():
            head = self.client.head_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
            until = head.get("ObjectLockRetainUntilDate") or datetime.now(UTC)
            found[one["Key"].split("/", 2)[2]] = round((until - datetime.now(UTC)) / timedelta(days=1), 1)
        return found

    def blocks(self) -> set[str]:
        """Names of all blocks."""
        return {name for name in self.days_left() if name.startswith("blocks/")}


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
    assert datetime.fromisoformat(third["until"]) > datetime.now(UTC) + timedelta(days=8.9)
    shelf.write(more=10_000)
    assert shelf.back_up(long)["locked"]["extended"] <= 2
    assert shelf.is_whole(long)


def test_freeing_waits_for_locks_and_says_until_when(shelf: Shelf) -> None:
    """Else a locked block fails each freeing, or is taken for deleted and paid for without end."""
    lock = "&lock=governance&lock_days=5"
    shelf.write(gone=3 * _MIB)
    first = shelf.back_up(lock)
    old = shelf.blocks()
    (shelf.source / "gone").unlink()
    shelf.write(stays=_MIB)
    shelf.back_up(lock)
    shelf.drop(first["snapshot"], lock)
    for found in (shelf.free(lock, dry_run=True), shelf.free(lock), shelf.free("")):
        (waiting,) = found["waiting"]
        assert (waiting["what"], found["deleted"]["blocks"], found["planned_bytes"]) == ("lock", 0, 0)
        until = datetime.fromisoformat(waiting["until"])
        assert abs(until - datetime.now(UTC) - timedelta(days=5)) < timedelta(minutes=5)
        assert "retained until" in waiting["reason"]
    assert old <= shelf.blocks()
    assert shelf.versions("DeleteMarkers") == []
    assert shelf.is_whole(lock)

    # An administrator with the right to do so lifts the locks.
    for name, days in shelf.days_left().items():
        if days:
            shelf.client.put_object_retention(
                Bucket=BUCKET, Key=f"{shelf.repository}/{name}", BypassGovernanceRetention=True,
                Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=2)},
            )  # fmt: skip
    time.sleep(3)
    freed = shelf.free(lock)
    assert (freed["waiting"], freed["deleted"]["blocks"] >= 1) == ([], True)
    assert freed["freed_bytes"] > 2.9 * _MIB
    assert not old <= shelf.blocks()
    assert shelf.is_whole(lock)
