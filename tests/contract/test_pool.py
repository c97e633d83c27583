"""Pools as stores: of directories, and of a directory and a server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.model.store_access import StoreAccess
from tests.contract.suite import Open, StoreContract
from tests.support.pools import local_members, member, open_pool, pool_access
from tests.support.servers.seaweedfs import BUCKET, OWNER, SeaweedFs, credentials, seaweedfs


class TestMirror(StoreContract):
    """Two copies on three directories."""

    many = 100

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Open:
        """Three empty places."""
        access = pool_access("mirror", local_members(tmp_path, 3), copies=2)
        return lambda tag: open_pool(access, tag)


class TestSpread(StoreContract):
    """Blocks here and there."""

    many = 100

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Open:
        """Three empty places."""
        access = pool_access("spread", local_members(tmp_path, 3))
        return lambda tag: open_pool(access, tag)


class TestFailover(StoreContract):
    """The first one that is there."""

    many = 100

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Open:
        """Two empty places."""
        access = pool_access("failover", local_members(tmp_path, 2))
        return lambda tag: open_pool(access, tag)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """S3."""
    with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


class TestMirrorOfServerAndDirectory:
    """SeaweedFS leads, a directory has the second copy: of the contract what hangs on the store below."""

    store = StoreContract.store
    late_seconds = StoreContract.late_seconds
    test_what_was_put_comes_back = StoreContract.test_what_was_put_comes_back_whole_and_by_ranges
    test_a_taken_name = StoreContract.test_a_taken_name_keeps_its_bytes
    test_one_of_sixteen = StoreContract.test_of_sixteen_creators_of_one_name_one_succeeds
    test_what_is_not_there = StoreContract.test_an_object_that_is_not_there_is_told_as_missing
    test_what_was_deleted = StoreContract.test_what_was_deleted_is_gone_and_its_name_free
    test_a_listing = StoreContract.test_a_listing_is_whole_and_of_its_folder_alone
    test_who_comes_later = StoreContract.test_who_comes_later_sees_what_is_there
    test_free_space = StoreContract.test_free_space_is_told_or_not_known

    @pytest.fixture
    def open_place(self, tmp_path: Path, server: SeaweedFs) -> Open:
        """An empty prefix and an empty directory."""
        prefix = tmp_path.name.replace("_", "-")
        place = f"s3://{BUCKET}/{prefix}?endpoint={server.endpoint}"
        login = StoreAccess(credentials=credentials(OWNER), allow_plaintext=True)
        members = [member(0, place, login), member(1, str(tmp_path / "m1"))]
        access = pool_access("mirror", members, copies=2, retry_seconds=20)
        return lambda tag: open_pool(access, tag)
