"""A machine and a prefix of an S3 bucket that locks objects: what lies there, in which versions, until when."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from backupd.clock import SystemClock, to_datetime
from backupd.model.orders import BackupOrder, CheckOrder, FreeOrder, Limits, RestoreOrder, Selection
from backupd.model.store_access import StoreAccess
from backupd.repository.dropping import drop_snapshots
from backupd.snapshot import naming
from tests.support.compare import compare_trees
from tests.support.machine import LaterClock, Machine
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import OWNER, SeaweedFs, credentials

BUCKET = "locked"
_numbers = itertools.count(1)


def now() -> datetime:
    """Aware, UTC."""
    return to_datetime(SystemClock().now_ns())


def make_bucket(weed: SeaweedFs) -> None:
    """One that locks objects."""
    seaweedfs.client_of_owner(weed.endpoint).create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)


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

    def free(self, lock: str, *, dry_run: bool = False, **more: Any) -> dict[str, Any]:
        """The result of a freeing. more: fields of the order."""
        order = FreeOrder(place=self.place(lock), access=self.access, dry_run=dry_run, **more)
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
            found[one["Key"].split("/", 2)[2]] = self.days_left_of(one)
        return found

    def days_left_of(self, version: dict[str, Any]) -> float:
        """How long a version is locked."""
        head = self.client.head_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
        until = head.get("ObjectLockRetainUntilDate") or now()
        return float(round((until - now()) / timedelta(days=1), 1))

    def blocks(self) -> set[str]:
        """Names of all blocks."""
        return {name for name in self.days_left() if name.startswith("blocks/")}
