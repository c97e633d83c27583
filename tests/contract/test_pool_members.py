"""How a pool opens its members: with its limits, and its end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from backupd.cancel import Cancel
from backupd.destination.pacing import PaceTable
from backupd.destination.stores import open_store
from backupd.errors import CancelledError
from backupd.model.places import pool_place
from backupd.model.store_access import PaceGrant, StoreAccess
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
