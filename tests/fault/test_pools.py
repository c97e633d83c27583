"""Pools whose members fail: in mid-run, full, exchanged, emptied, with an older state, seen differently by writers."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from backupd.destination.contract import Opening
from backupd.destination.pool.healing import Healed, heal
from backupd.destination.pool.opening import assembled
from backupd.errors import (
    ConflictError,
    DestinationError,
    DestinationFullError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.model.places import pool_place
from backupd.model.sets import PoolKind
from backupd.model.store_access import PoolMember, StoreAccess
from backupd.store_errors import NotAMemberError
from tests.support.mounting import tmpfs
from tests.support.pools import POOL_ID, local_members, member, open_pool, pool_access
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.webdav_server import PASSWORD, USER

_REPOSITORY = "r" + "0" * 32
_SNAPSHOT = f"{_REPOSITORY}/snapshots/b1/20261121t210710z-1"


def _block(number: int) -> str:
    return f"{_REPOSITORY}/blocks/{number % 256:02x}/{number:064x}"


def _heal(access: StoreAccess) -> Healed:
    opening = Opening(pool_place(POOL_ID), "healer", access, create=True)
    store = assembled(opening)
    try:
        return heal(store)
    finally:
        store.close()


def _names(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != "pool"}


@pytest.fixture
def mirror(tmp_path: Path) -> StoreAccess:
    """Two copies on three directories, begun."""
    access = pool_access("mirror", local_members(tmp_path, 3), copies=2)
    open_pool(access).close()
    return access


def test_of_sixteen_creators_that_see_different_members_one_succeeds(mirror: StoreAccess, tmp_path: Path) -> None:
    """Else of two snapshots that were told to be committed one is gone, or differs from member to member."""
    assert mirror.pool is not None
    views: list[StoreAccess] = []
    for gone in (None, 1, 2):
        members = [
            msgspec.structs.replace(one, place=str(tmp_path / "nowhere" / one.name)) if number == gone else one
            for number, one in enumerate(mirror.pool.members)
        ]
        views.append(msgspec.structs.replace(mirror, pool=msgspec.structs.replace(mirror.pool, members=members)))
    stores = [open_pool(views[number % 3], f"racer{number}") for number in range(16)]
    for round_number in range(4):
        won: list[int] = []
        gate = threading.Barrier(16)

        def create(number: int, name: str, gate: threading.Barrier, won: list[int]) -> None:
            gate.wait()
            with suppress(ObjectExistsError):
                stores[number].put(name, [b"%d" % number * 100])
                won.append(number)

        name = f"{_SNAPSHOT}{round_number}"
        threads = [threading.Thread(target=create, args=(n, name, gate, won)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        held = [(tmp_path / f"m{n}" / name).read_bytes() for n in range(3) if (tmp_path / f"m{n}" / name).exists()]
        assert len(held) >= 2
        assert set(held) == {b"%d" % won[0] * 100}
    for store in stores:
        store.close()


@pytest.mark.parametrize("kind", ["mirror", "spread", "failover"])
def test_a_server_that_is_killed_in_the_middle(kind: PoolKind, tmp_path: Path) -> None:
    """A mirror goes on, a spread pool stores at the others, a failover pool's run ends; nothing stored is missing."""
    server = RcloneWebdav(tmp_path, is_plain=True)
    login = StoreAccess(credentials=f"user = {USER}\npassword = {PASSWORD}\n".encode(), allow_plaintext=True)
    remote = member(1, f"webdav://127.0.0.1:{server.port}/", login)
    others = [member(0, str(tmp_path / "m0")), member(2, str(tmp_path / "m2"))]
    members = [remote, *others] if kind == "failover" else [others[0], remote, others[1]]
    said: list[str] = []
    access = pool_access(kind, members, copies=2)
    open_pool(access).close()
    store = open_pool(access, warn=said.append, at=remote.id if kind == "failover" else None)
    stored: dict[str, bytes] = {}
    for number in range(24):
        if number == 12:
            server.kill()
        stored[_block(number)] = os.urandom(50_000)
        if number >= 12 and kind == "failover":
            with pytest.raises(DestinationUnreachableError):
                store.put(_block(number), [stored.pop(_block(number))])
            break
        store.put(_block(number), [stored[_block(number)]])
    there, errors = 0, []
    for name, data in stored.items():
        try:
            there += store.get(name) == data
        except DestinationError as error:
            errors.append(error)
    # What lay at the dead member is told as out of reach, never as missing.
    assert there + len(errors) == len(stored)
    assert not any(isinstance(error, ObjectMissingError) for error in errors)
    assert there >= {"mirror": 24, "spread": 12, "failover": 0}[kind]
    if kind == "mirror":
        assert store.size(_block(99)) is None
    else:
        with pytest.raises(DestinationError):
            store.size(_block(99))
    store.close()
    if kind != "failover":
        assert any("m1" in one for one in said), said
    assert not any(PASSWORD in one for one in said)


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
@pytest.mark.parametrize(
    ("kind", "copies"), [("mirror", 2), ("spread", 1), pytest.param("mirror", 3, marks=pytest.mark.nightly)]
)
def test_a_member_that_is_full(kind: PoolKind, copies: int, tmp_path: Path) -> None:
    """One full disk must not end what the others can hold, nor count as a copy."""
    with tmpfs(tmp_path / "m2", "1m"):
        access = pool_access(kind, local_members(tmp_path, 3), copies=copies)
        store = open_pool(access)
        told: list[DestinationError] = []
        for number in range(12):
            try:
                store.put(_block(number), [os.urandom(300_000)])
            except DestinationError as error:
                told.append(error)
                break
        if copies == 3:
            assert [type(error) for error in told] == [DestinationFullError]
        else:
            assert told == []
            assert all(store.size(_block(number)) == 300_000 for number in range(12))
        store.close()


def test_a_lead_that_comes_back_with_an_older_state(mirror: StoreAccess, tmp_path: Path) -> None:
    """Else a snapshot's name is given twice, or what only the others kept is told as missing."""
    store = open_pool(mirror)
    shutil.copytree(tmp_path / "m0", tmp_path / "older")
    store.put(_SNAPSHOT, [b"committed"])
    store.put(_block(1), [b"block"])
    store.close()
    shutil.rmtree(tmp_path / "m0")
    (tmp_path / "older").rename(tmp_path / "m0")
    store = open_pool(mirror)
    with pytest.raises(ObjectExistsError):
        store.put(_SNAPSHOT, [b"another"])
    assert (store.get(_SNAPSHOT), store.get(_block(1))) == (b"committed", b"block")
    assert [info.name for info in store.list(f"{_REPOSITORY}/snapshots/")] == [_SNAPSHOT]
    store.close()
    assert _heal(mirror).members == {"m0": 2}
    assert _names(tmp_path / "m0") == _names(tmp_path / "m1")


def test_an_emptied_member_takes_no_part_until_it_is_healed(mirror: StoreAccess, tmp_path: Path) -> None:
    """Where a drive is not mounted lies an empty directory: it must neither tell absence nor be written to."""
    store = open_pool(mirror)
    store.put(_SNAPSHOT, [b"committed"])
    store.put(f"{_REPOSITORY}/repository.json", [b"{}"])
    (tmp_path / "m2").rename(tmp_path / "away")
    (tmp_path / "m2").mkdir()
    said: list[str] = []
    later = open_pool(mirror, warn=said.append)
    for one in (store, later):
        one.put(_block(len(_names(tmp_path / "m0"))), [b"x"])
        with suppress(ObjectMissingError):
            one.get(_block(77))
    assert _names(tmp_path / "m2") == set()
    assert any("m2" in one and "mark" in one for one in said), said
    (tmp_path / "m1").rename(tmp_path / "away1")
    with pytest.raises(DestinationError):
        open_pool(mirror).put(_block(50), [b"x"])
    (tmp_path / "away1").rename(tmp_path / "m1")
    healed = _heal(mirror)
    # What found too few members for itself lies at the lead, and is copied with the rest.
    assert (healed.left, healed.members) == ([], {"m2": 5, "m1": 1})
    assert _names(tmp_path / "m2") == _names(tmp_path / "m0")
    for one in (store, later):
        one.close()


def test_a_revoked_key_does_not_come_back_by_healing(mirror: StoreAccess, tmp_path: Path) -> None:
    """Else a password that was taken away opens the repository again when an old disk is plugged in."""
    store = open_pool(mirror)
    for name in ("k1", "k2"):
        store.put(f"{_REPOSITORY}/keys/{name}", [b"slot"])
    store.put(f"{_REPOSITORY}/repository.json", [b"{}"])
    store.close()
    (tmp_path / "m2").rename(tmp_path / "away")
    store = open_pool(mirror)
    with pytest.raises(DestinationError, match="not at each member"):
        store.delete(f"{_REPOSITORY}/keys/k1")
    store.close()
    (tmp_path / "away").rename(tmp_path / "m2")
    healed = _heal(mirror)
    assert (healed.objects, healed.stale) == (0, [f"{_REPOSITORY}/keys/k1"])
    store = open_pool(mirror)
    store.delete(f"{_REPOSITORY}/keys/k1")
    store.close()
    assert [_names(tmp_path / f"m{n}") & {f"{_REPOSITORY}/keys/k1"} for n in range(3)] == [set()] * 3


def test_healing_needs_all_that_may_hold_something(mirror: StoreAccess, tmp_path: Path) -> None:
    """Else a new disk is called whole although what only an absent one holds is not on it."""
    store = open_pool(mirror)
    store.put(_SNAPSHOT, [b"committed"])
    store.close()
    for name in ("m0", "m1"):
        (tmp_path / name).rename(tmp_path / f"away-{name}")
    shutil.rmtree(tmp_path / "m2")
    (tmp_path / "m2").mkdir()
    with pytest.raises(DestinationError):
        _heal(mirror)
    assert not (tmp_path / "m2" / "pool").exists()


def _twins(tmp_path: Path) -> list[PoolMember]:
    (tmp_path / "m0").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "m0")
    return [member(0, str(tmp_path / "m0")), member(1, str(tmp_path / "other"))]


def _foreign(tmp_path: Path) -> list[PoolMember]:
    (tmp_path / "m0").mkdir()
    (tmp_path / "m0" / "photos").mkdir()
    return local_members(tmp_path, 2)


@pytest.mark.parametrize(("make", "kind"), [(_twins, ConflictError), (_foreign, NotAMemberError)])
def test_members_that_are_none(make: Callable[[Path], list[PoolMember]], kind: type, tmp_path: Path) -> None:
    """One place under two names is one copy that counts as two; what somebody else keeps is no empty place."""
    access = pool_access("mirror", make(tmp_path), copies=2)
    with suppress(NotAMemberError):
        open_pool(access).close()
    with pytest.raises(kind):
        open_pool(access)
