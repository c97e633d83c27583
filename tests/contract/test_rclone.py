"""Remotes of rclone as stores: a directory, one that encrypts, and SeaweedFS through its S3 door."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from backupd.destination.contract import Store
from backupd.destination.stores import open_store
from backupd.model.orders import StoreAccess
from tests.contract.suite import Open, StoreContract
from tests.support.servers.rclone_remotes import BUCKET, S3Server, directory_remotes, program, s3_remote, s3_server


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rclone of this environment is found, and no configuration of who runs the tests."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


def _opener(place: str, access: StoreAccess) -> Generator[Open, None, None]:
    opened: list[Store] = []

    def open_it(tag: str) -> Store:
        opened.append(open_store(place, tag, access, create=True))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


class TestDirectory(StoreContract):
    """Through an alias: writes show early there, so temporary names are needed."""

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Generator[Open, None, None]:
        yield from _opener("rclone:dir:place", StoreAccess(credentials=directory_remotes(tmp_path / "dir")))


class TestCrypt(StoreContract):
    """A remote upon a remote."""

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Generator[Open, None, None]:
        yield from _opener("rclone:crypt:place", StoreAccess(credentials=directory_remotes(tmp_path / "dir")))


_PLACES = itertools.count()


class TestSeaweedFs(StoreContract):
    """A remote of buckets."""

    @pytest.fixture
    def open_place(self, server: S3Server) -> Generator[Open, None, None]:
        access = StoreAccess(credentials=s3_remote(server.port), allow_plaintext=True)
        yield from _opener(f"rclone:sea:{BUCKET}/place-{next(_PLACES)}", access)
