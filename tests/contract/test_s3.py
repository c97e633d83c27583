"""S3 as a store, at a server that has create-if-absent and at one that has not."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import pytest

from backupd.destination.contract import Opening, Store
from backupd.destination.s3 import open_s3
from backupd.model.orders import StoreAccess
from backupd.model.places import PlaceUrl
from tests.contract.suite import Open, StoreContract
from tests.support.servers import rclone_s3, seaweedfs
from tests.support.servers.rclone_s3 import RcloneS3
from tests.support.servers.seaweedfs import SeaweedFs

_numbers = itertools.count(1)


def opener(server: SeaweedFs | RcloneS3, login: tuple[str, str], bucket: str = seaweedfs.BUCKET) -> Open:
    """Opens one prefix that nobody used before."""
    place = f"s3://{bucket}/host {next(_numbers)}?endpoint={server.endpoint}"
    access = StoreAccess(credentials=seaweedfs.credentials(login), allow_plaintext=True)

    def open_place(tag: str) -> Store:
        return open_s3(PlaceUrl.parse(place), Opening(place, tag, access, create=True))

    return open_place


class TestSeaweedFs(StoreContract):
    """SeaweedFS honours the condition."""

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
        with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
            yield running

    @pytest.fixture
    def open_place(self, server: SeaweedFs) -> Open:
        return opener(server, seaweedfs.OWNER)


class TestRclone(StoreContract):
    """rclone's server takes the condition and ignores it."""

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneS3, None, None]:
        with rclone_s3.rclone_s3(tmp_path_factory.mktemp("rclone")) as running:
            yield running

    @pytest.fixture
    def open_place(self, server: RcloneS3) -> Open:
        return opener(server, rclone_s3.LOGIN)
