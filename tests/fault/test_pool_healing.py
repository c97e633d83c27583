"""Healings in which a member fails: what it holds must reach the others before anybody is called whole."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.destination.contract import Opening
from backupd.destination.pool.healing import Healed, heal
from backupd.destination.pool.opening import assembled
from backupd.model.places import pool_place
from backupd.model.store_access import StoreAccess
from tests.support.mounting import tmpfs
from tests.support.pools import POOL_ID, local_members, open_pool, pool_access

_REPOSITORY = "r" + "0" * 32
_FIRST = f"{_REPOSITORY}/blocks/00/{0:064x}"
_SNAPSHOT = f"{_REPOSITORY}/snapshots/b1/20261121t210710z-1"
_SAME_FOLDER = f"{_REPOSITORY}/blocks/00/{256:064x}"

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root, pytest.mark.needs("mount", "umount")]


@pytest.fixture
def full(tmp_path: Path) -> Generator[StoreAccess, None, None]:
    """Three members; the last has no room for the first block, and the others have lost what it holds."""
    with tmpfs(tmp_path / "m2", "1m"):
        access = pool_access("mirror", local_members(tmp_path, 3), copies=3)
        store = open_pool(access)
        store.put(_SAME_FOLDER, [b"block"])
        store.put(_SNAPSHOT, [b"committed"])
        store.put(f"{_REPOSITORY}/repository.json", [b"{}"])
        store.close()
        for name in ("m0", "m1"):
            # New disks in place of those that went: only what the third one has is left.
            shutil.rmtree(tmp_path / name)
            (tmp_path / name).mkdir()
        folder = tmp_path / "m1" / Path(_FIRST).parent
        folder.mkdir(parents=True)
        (tmp_path / "m1" / _FIRST).write_bytes(bytes(2 << 20))
        yield access


def _heal(access: StoreAccess) -> Healed:
    opening = Opening(pool_place(POOL_ID), "healer", access, create=True)
    store = assembled(opening)
    try:
        return heal(store)
    finally:
        store.close()


def test_a_member_that_is_full_is_still_a_source(full: StoreAccess, tmp_path: Path) -> None:
    """Else the new disks are called whole, and a snapshot that only the full one holds is told as never there."""
    healed = _heal(full)
    assert [one for one in healed.left if "m2" in one] == healed.left != []
    for name in ("m0", "m1"):
        assert (tmp_path / name / _SNAPSHOT).read_bytes() == b"committed"
        assert (tmp_path / name / _SAME_FOLDER).read_bytes() == b"block"
    shutil.rmtree(tmp_path / "m1")
    store = open_pool(full)
    assert store.get(_SNAPSHOT) == b"committed"
    store.close()


def test_a_member_that_fails_gets_no_mark(full: StoreAccess, tmp_path: Path) -> None:
    """Else what it could not take counts as absent when it alone answers."""
    shutil.rmtree(tmp_path / "m2" / "pool")
    _heal(full)
    assert not (tmp_path / "m2" / "pool").exists()
    assert (tmp_path / "m0" / "pool").exists()
    assert (tmp_path / "m1" / _SNAPSHOT).exists()
