"""Pools of places, opened as a job opens them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from backupd.destination.contract import Store
from backupd.destination.stores import open_store
from backupd.model.places import pool_place
from backupd.model.sets import PoolKind
from backupd.model.store_access import NO_ACCESS, Pool, PoolMember, StoreAccess

POOL_ID = "d" + "a1" * 16


def member(number: int, place: str, access: StoreAccess = NO_ACCESS) -> PoolMember:
    """The member of a number: `m0`, `m1` ..."""
    return PoolMember(id=f"d{number:032x}", name=f"m{number}", place=place, access=access)


def local_members(folder: Path, count: int) -> list[PoolMember]:
    """Directories that are made by the pool."""
    return [member(number, str(folder / f"m{number}")) for number in range(count)]


def pool_access(kind: PoolKind, members: Sequence[PoolMember], copies: int = 1, retry_seconds: int = 1) -> StoreAccess:
    """What opens a pool."""
    pool = Pool(name="pool", kind=kind, copies=copies, members=[*members])
    return StoreAccess(pool=pool, retry_seconds=retry_seconds)


def open_pool(
    access: StoreAccess,
    tag: str = "t1",
    *,
    at: str | None = None,
    create: bool = True,
    warn: Callable[[str], None] | None = None,
) -> Store:
    """Open it as a job does: the same as `open_store` with its address."""
    return open_store(pool_place(POOL_ID, at), tag, access, create=create, warn=warn)
