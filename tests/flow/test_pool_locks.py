"""Pools of which members lock objects: runs extend the locks there, and nothing is told as locked that is not."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from backupd.destination.contract import Forwarding, Keeping, LockRule
from backupd.errors import DestinationRefusedError, ObjectMissingError
from backupd.model.places import pool_place
from backupd.model.sets import PoolKind
from backupd.model.store_access import StoreAccess
from backupd.store_errors import ObjectLockedError
from tests.support import pools
from tests.support.locked_shelf import Shelf, make_bucket, now
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import SeaweedFs

_MIB = 1 << 20
_SHORT, _LONG = "&lock=compliance&lock_days=2", "&lock=compliance&lock_days=9"


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        make_bucket(running)
        yield running


class Pooled(Shelf):
    """A shelf that is a member beside a directory, which locks nothing."""

    def __init__(self, weed: SeaweedFs, above: Path, kind: PoolKind = "mirror", copies: int = 2) -> None:
        super().__init__(weed, above)
        self.kind, self.copies, self.alone = kind, copies, self.access
        self.disk = pools.member(1, str(above / "disk"))

    def place(self, lock: str) -> str:
        """The pool's; its members from then on lock in that way."""
        self.access = self.described(lock)
        return pool_place(pools.POOL_ID)

    def described(self, lock: str) -> StoreAccess:
        """What opens the pool."""
        locking = pools.member(0, super().place(lock), self.alone)
        return pools.pool_access(self.kind, [locking, self.disk], self.copies)



def test_runs_extend_the_locks_of_a_member(weed: SeaweedFs, tmp_path: Path) -> None:
    """Else history goes with its lock while backups go on; and a freeing waits for what one member retains."""
    shelf = Pooled(weed, tmp_path)
    shelf.write(gone=2 * _MIB)
    first = shelf.back_up(_SHORT)
    assert (first["locked"]["mode"], first["locked"]["days"]) == ("compliance", 2)
    old = shelf.blocks()
    (shelf.source / "gone").unlink()
    shelf.write(stays=2 * _MIB)
    second = shelf.back_up(_LONG)["locked"]
    assert (second["days"], second["extended"] > 4) == (9, True)
    kept = {name: days for name, days in shelf.days_left().items() if name.startswith("blocks/") and days > 8.9}
    assert kept
    assert not kept.keys() <= old

    shelf.drop(first["snapshot"], _LONG)
    found = shelf.free(_LONG)
    (waiting,) = found["waiting"]
    assert (waiting["what"], found["deleted"]["blocks"]) == ("lock", 0)
    assert "retained until" in waiting["reason"]
    assert old <= shelf.blocks()
    assert shelf.is_whole(_LONG)


@pytest.mark.parametrize(
    ("kind", "copies", "is_lead", "promised"),
    [("mirror", 2, False, True), ("mirror", 1, True, True), ("mirror", 1, False, False), ("spread", 1, True, False)],
)
def test_what_is_told_as_locked_is(  # noqa: PLR0913
    weed: SeaweedFs, tmp_path: Path, kind: PoolKind, copies: int, is_lead: bool, promised: bool
) -> None:
    """A pool that may have an object at members alone that lock nothing promises no lock."""
    shelf = Pooled(weed, tmp_path, kind, copies)
    access = shelf.described(_SHORT)
    assert access.pool is not None
    members = access.pool.members if is_lead else access.pool.members[::-1]
    access = msgspec.structs.replace(access, pool=msgspec.structs.replace(access.pool, members=members))
    store = Forwarding(pools.open_pool(access))
    assert store.lock_rule == (LockRule("compliance", 2) if promised else None)
    assert store.keeping() == Keeping(locks=True)
    store.close()


def test_each_member_that_locks_is_asked(weed: SeaweedFs, tmp_path: Path) -> None:
    """One that is away and says in its address that it locks is an error, when the others have done it."""
    shelf = Pooled(weed, tmp_path)
    whole = pools.open_pool(shelf.described(_SHORT))
    store = Forwarding(whole)
    whole.put("r1/blocks/a", [b"a"])
    assert store.locked_until("r1/blocks/a") is not None
    until_ns = int((now() + timedelta(days=5)).timestamp()) * 10**9
    store.lock("r1/blocks/a", until_ns)
    assert store.locked_until("r1/blocks/a") == until_ns
    with pytest.raises(ObjectMissingError, match="is not in the pool"):
        store.lock("r1/blocks/nowhere", until_ns)
    assert store.locked_until("r1/blocks/nowhere") is None
    with pytest.raises(ObjectLockedError):
        whole.delete("r1/blocks/a")
    assert whole.size("r1/blocks/a") == 1
    store.close()

    gone = pools.member(2, "s3://locked/gone?endpoint=http://127.0.0.1:9" + _SHORT, shelf.alone)
    access = shelf.described(_SHORT)
    assert access.pool is not None
    # A third one that nobody reaches; the two that do know of each other.
    pool = msgspec.structs.replace(access.pool, members=[*access.pool.members, gone])
    store = Forwarding(pools.open_pool(msgspec.structs.replace(access, pool=pool), create=False))
    later_ns = until_ns + 86_400 * 10**9
    with pytest.raises(DestinationRefusedError, match="is not locked at each member"):
        store.lock("r1/blocks/a", later_ns)
    assert store.locked_until("r1/blocks/a") == later_ns
    store.close()
