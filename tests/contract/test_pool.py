"""Pools as stores: of directories, and of a directory and a server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.model.orders import StoreAccess
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


class TestMirrorOfServerAndDirectory(StoreContract):
    """SeaweedFS leads, a directory has the second copy."""

    many = 200

    @pytest.fixture
    def open_place(self, tmp_path: Path, server: SeaweedFs) -> Open:
        """An empty prefix and an empty directory."""
        prefix = tmp_path.name.replace("_", "-")
        place = f"s3://{BUCKET}/{prefix}?endpoint={server.endpoint}"
        login = StoreAccess(credentials=credentials(OWNER), allow_plaintext=True)
        members = [member(0, place, login), member(1, str(tmp_path / "m1"))]
        access = pool_access("mirror", members, copies=2, retry_seconds=20)
        return lambda tag: open_pool(access, tag)
