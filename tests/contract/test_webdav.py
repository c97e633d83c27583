"""A folder of a WebDAV server as a store: rclone's, and wsgidav's."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from itertools import count

import pytest

from backupd.destination.retrying import Patience, Retrying
from tests.contract.suite import Open, StoreContract
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.wsgidav_server import Wsgidav

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneWebdav, None, None]:
    """A server that wants Basic."""
    server = RcloneWebdav(tmp_path_factory.mktemp("rclone"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def wsgidav(tmp_path_factory: pytest.TempPathFactory) -> Generator[Wsgidav, None, None]:
    """A server that wants Digest."""
    server = Wsgidav(tmp_path_factory.mktemp("wsgidav"))
    yield server
    server.kill()


class TestRclone(StoreContract):
    """`rclone serve webdav`."""

    many = 150

    @pytest.fixture
    def open_place(self, rclone: RcloneWebdav) -> Open:
        """An empty folder: a new one each time, for rclone keeps what it saw in one.

        While one moves something to a name it says `locked` to others, who are to try again.
        """
        place = rclone.place(f"/place{next(_NUMBERS)}")
        return lambda tag: Retrying(rclone.open(tag, place), patience=Patience(first_pause_seconds=0.05))


class TestWsgidav(StoreContract):
    """wsgidav."""

    many = 150

    @pytest.fixture
    def open_place(self, wsgidav: Wsgidav) -> Generator[Open, None, None]:
        """An empty folder on the server."""
        yield wsgidav.open
        shutil.rmtree(wsgidav.files / "place")
