"""A directory behind OpenSSH as a store."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.destination.contract import Opening
from backupd.destination.sftp import SftpStore
from backupd.model.orders import StoreAccess
from backupd.model.places import PlaceUrl
from tests.contract.suite import Open, StoreContract
from tests.support.servers.rclone_sftp import PASSWORD, USER, RcloneSftp, rclone_sftp
from tests.support.servers.sshd import Sshd, fingerprint, sshd

_places = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


def open_at(server: Sshd, path: Path, tag: str = "t", *, create: bool = True) -> SftpStore:
    place = f"sftp://{server.user}@127.0.0.1:{server.port}{path}"
    access = StoreAccess(credentials=server.login_key.read_bytes(), host_key=fingerprint(server.host_key))
    return SftpStore(PlaceUrl.parse(place), Opening(place, tag, access, create))


class TestSftp(StoreContract):
    """The contract."""

    @pytest.fixture
    def open_place(self, server: Sshd, tmp_path: Path) -> Open:
        return lambda tag: open_at(server, tmp_path / "place", tag)


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneSftp, None, None]:
    with rclone_sftp(tmp_path_factory.mktemp("rclone")) as started:
        yield started


class TestSftpOfAnotherKind(StoreContract):
    """The contract where rename overwrites, there is neither fsync nor statvfs, and the login is a password."""

    @pytest.fixture
    def open_place(self, other_server: RcloneSftp) -> Open:
        place = f"sftp://{USER}@127.0.0.1:{other_server.port}/place{next(_places)}"
        access = StoreAccess(credentials=PASSWORD.encode(), host_key=other_server.fingerprint)
        return lambda tag: SftpStore(PlaceUrl.parse(place), Opening(place, tag, access, create=True))
