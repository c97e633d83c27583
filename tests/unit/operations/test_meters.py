"""Which calls count together: those of one place, however it is written or opened."""

from __future__ import annotations

import os
from pathlib import Path

from backupd.model.places import pool_place
from backupd.operations.meters import Meters
from tests.support.pools import POOL_ID

REPOSITORY = "r" + "0f" * 16


def test_a_place_has_one_meter_however_it_is_written(tmp_path: Path) -> None:
    """Else a part of what it cost is told nowhere: jobs open the place, its repository, and a member of a pool."""
    meters = Meters()
    (tmp_path / "place").mkdir()
    os.symlink(tmp_path / "place", tmp_path / "link")
    local = meters.of(f"{tmp_path}/place")
    assert meters.of(f"{tmp_path}/place/{REPOSITORY}") is local
    assert meters.of(f"{tmp_path}/link") is local
    store = meters.of("s3://bucket/x?endpoint=http://h:1&style=path")
    assert meters.of(f"s3://bucket/x/{REPOSITORY}?endpoint=http://h:1") is store
    pool = meters.of(pool_place(POOL_ID))
    assert meters.of(pool_place(POOL_ID, "d" + "1" * 32)) is pool
    assert len({id(one) for one in (local, store, pool, meters.of("s3://bucket/y?endpoint=http://h:1"))}) == 4


def test_what_is_no_place_is_left_to_who_opens_it() -> None:
    """A mistyped address is told as that, not as a failure to count."""
    meters = Meters()
    assert meters.of("s3://") is meters.of("s3://")
    assert meters.of("/a\0b") is meters.of("/a\0b")
