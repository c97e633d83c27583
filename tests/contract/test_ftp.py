"""A folder of an FTP server as a store, over TLS of both kinds and without."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.contract.suite import Open, StoreContract
from tests.support.servers.ftpd import Ftpd


@pytest.fixture(scope="module")
def ftpd(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ftpd, None, None]:
    """A server with TLS that is asked for."""
    server = Ftpd(tmp_path_factory.mktemp("ftpd"))
    yield server
    server.kill()


class TestFtps(StoreContract):
    """pyftpdlib with AUTH TLS."""

    @pytest.fixture
    def open_place(self, ftpd: Ftpd) -> Generator[Open, None, None]:
        """An empty folder on the server."""
        yield ftpd.open
        shutil.rmtree(ftpd.files / "place")
