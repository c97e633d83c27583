"""How a pool opens its members: with its limits, and its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.destination.contract import Forwarding, Store
from backupd.destination.pacing import PaceTable
from backupd.destination.pool.members import Member
from backupd.destination.pool.policy import PoolId, Rules
from backupd.destination.pool.store import PoolStore
from backupd.destination.stores import open_store
from backupd.errors import CancelledError, DestinationError, FormatError, ObjectExistsError
from backupd.model.places import pool_place
from backupd.model.store_access import PaceGrant, StoreAccess
from backupd.repository.any_copy import Source, distinct, of_any_copy
from backupd.store_errors import StoreBusyError
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.machine import PLUGINS
from tests.support.pools import POOL_ID, local_members, member, open_pool, pool_access
from tests.support.servers.process import free_port
from tests.support.servers.rclone_webdav import RcloneWebdav

_RATE = 200_000
_SIZE = 400_000


@pytest.mark.parametrize("whose", ["pool", "member"])
def test_members_keep_limits(whose: str, tmp_path: Path) -> None:
    """The line of an office stands still while a backup to a pool runs, though a limit was set."""
    server, table = RcloneWebdav(tmp_path), PaceTable()
    try:
        number = table.allocate()
        table.set_member(number, (0, 0), (_RATE, _RATE))
        grant = PaceGrant(descriptor=table.descriptor, member=number)
        login = server.access()
        if whose == "member":
            login = msgspec.structs.replace(login, pace=grant)
        access = pool_access("mirror", [member(0, str(tmp_path / "m0")), member(1, server.place("/"), login)], copies=2)
        if whose == "pool":
            access = msgspec.structs.replace(access, pace=grant)
        store = open_pool(access)
        began = time.monotonic()
        store.put("r1/blocks/a", [os.urandom(_SIZE)])
        # A machine with too much to do is slower, never faster.
        assert time.monotonic() - began > _SIZE / _RATE / 1.2
        store.close()
    finally:
        server.kill()
        table.close()


def test_a_cancelled_job_waits_for_no_member(tmp_path: Path) -> None:
    """Else who stops a backup waits for each dead member's tries."""
    access = pool_access("mirror", local_members(tmp_path, 2), copies=2)
    open_pool(access).close()
    assert access.pool is not None
    dead = member(1, f"webdav://127.0.0.1:{free_port()}/", StoreAccess(credentials=b"user = u\npassword = p\n"))
    dead = msgspec.structs.replace(dead, access=msgspec.structs.replace(dead.access, allow_plaintext=True))
    pool = msgspec.structs.replace(access.pool, members=[access.pool.members[0], dead])
    cancel = Cancel()
    cancel.request(CancelledError("enough"))
    with pytest.raises(CancelledError):
        open_store(pool_place(POOL_ID), "t", msgspec.structs.replace(access, pool=pool), cancel=cancel)


def test_a_member_that_is_used_alone_is_opened_alone(tmp_path: Path) -> None:
    """Else each worker of a run waits some seconds for a member that is dead, and that it does not need."""
    access = pool_access("failover", local_members(tmp_path, 2))
    open_pool(access).close()
    assert access.pool is not None
    said: list[str] = []
    members = [member(0, str(tmp_path / "nowhere")), access.pool.members[1]]
    gone = pool_access("failover", members)
    store = open_pool(gone, at=members[1].id, create=False, warn=said.append)
    store.put("r1/blocks/a", [b"a"])
    assert (store.get("r1/blocks/a"), said) == (b"a", [])
    store.close()


def test_a_block_that_one_member_took_unheard_goes_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the run ends with "exists already" about its own block, although another member takes it."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    (tmp_path / "faulty").mkdir()
    place = FaultyPlace(tmp_path / "faulty")
    store = open_pool(pool_access("spread", [member(0, str(tmp_path / "m0")), member(1, place.address)]))
    place.set_faults(Fault("lost_ack", "put", "blocks"), Fault("error", "put", "blocks", first=1, times=1000))
    for number in range(8):
        if not place.struck():
            store.put(f"r1/blocks/00/{number:064x}", [b"block"])
    assert place.struck() > 1
    store.close()


def test_what_is_told_of_a_pool_is_told_once_and_rightly(tmp_path: Path) -> None:
    """Healing mends no block that lies only at a member that is away."""
    access = pool_access("failover", local_members(tmp_path, 2))
    open_pool(access).close()
    (tmp_path / "m0").rename(tmp_path / "away")
    said: list[str] = []
    store = open_pool(access, warn=said.append)
    assert [*store.list("r1/blocks/00/")] == []
    store.close()
    whole = [one for one in said if "not all members" in one]
    assert [one.count("pool pool: ") for one in whole] == [1]
    assert "heal" not in whole[0]
    assert any("m0" in one and "destination heal pool" in one for one in said)


def test_a_name_that_was_another_s_is_no_longer_begun(tmp_path: Path) -> None:
    """Else the same bytes, put again, count as this writer's own, although another one's name they are."""
    access = pool_access("mirror", local_members(tmp_path, 2), copies=2)
    other, store = open_pool(access, "other"), open_pool(access)
    other.put("r1/snapshots/a", [b"same"])
    for _ in range(2):
        with pytest.raises(ObjectExistsError):
            store.put("r1/snapshots/a", [b"same"])
    for one in (other, store):
        one.close()


def test_how_long_a_member_wants_to_be_left_alone_is_heard() -> None:
    """Else who tries again does so too soon, and is put off again."""
    busy = StoreBusyError("busy", context={"retry_after_seconds": 7})
    alone = Member(member(0, "/m0"), "d1", _raises(busy), SystemClock(), print)
    store = PoolStore(PoolId("d1", "pool", "pool://d1/"), Rules("mirror", 1), [alone], print)
    with pytest.raises(StoreBusyError) as found:
        store.get("r1/blocks/00/a")
    assert found.value.context["retry_after_seconds"] == 7
    store.close()


def _raises(error: DestinationError) -> Callable[[bool], Store]:
    def open_it(_: bool) -> Store:  # noqa: FBT001 (as the pool calls it)
        raise error

    return open_it


def test_damage_is_told_of_the_member_that_has_it(tmp_path: Path) -> None:
    """Else a good disk is thrown away, and equal copies, as of a key slot that no password opens, count as damage."""
    said: list[str] = []
    store = open_pool(pool_access("mirror", local_members(tmp_path, 3)), warn=said.append)
    for name in ("a", "b", "c"):
        store.put(f"r1/keys/{name}", [b"slot"])
    (tmp_path / "m0/r1/keys/b").write_bytes(b"slut")
    (tmp_path / "m1/r1/keys/b").write_bytes(b"slit")

    def read(source: Source, name: str) -> bytes:
        data = source.get(f"r1/keys/{name}")
        if data != b"slot":
            raise FormatError("damaged")
        return data

    def of_any(name: str) -> bytes:
        return of_any_copy(store, f"r1/keys/{name}", lambda source: read(source, name))

    assert of_any("a") == b"slot"
    for _ in range(2):
        assert of_any("b") == b"slot"
    bad = ["m0", "m1"]
    assert [one for one in said if "damaged" in one] == [
        f"pool pool: {name} has a damaged r1/keys/b; that of m2 is read" for name in bad
    ]
    assert [*Forwarding(store).damaged_copies()] == [(name, "r1/keys/b") for name in bad]
    assert distinct(store, "r1/keys/b") == [b"slut", b"slit", b"slot"]
    for name in ("m0", "m1", "m2"):
        (tmp_path / name / "r1/keys/c").write_bytes(b"slut")
    with pytest.raises(FormatError):
        of_any("c")
    store.close()
