"""A folder of a WebDAV server as a store: rclone's, and wsgidav's."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from backupd.destination.retrying import Patience, Retrying
from backupd.destination.stores import open_store
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.model.store_access import StoreAccess
from backupd.store_errors import (
    CertificateError,
    NameTooLongError,
    PlaintextError,
    ReadOnlyStoreError,
    StoreFolderError,
    StoreLoginError,
)
from tests.contract.suite import MIB, Open, StoreContract
from tests.support.mounting import tmpfs
from tests.support.servers.certificates import Authority
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.webdav_server import PASSWORD, USER, WebdavServer
from tests.support.servers.wsgidav_server import Wsgidav

_NUMBERS = count(1)
_SHORT = Patience(first_pause_seconds=0.05)


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


@contextmanager
def _running(server: WebdavServer) -> Iterator[WebdavServer]:
    """A server of a test's own, which the test may kill."""
    try:
        yield server
    finally:
        server.kill()


class TestRclone(StoreContract):
    """`rclone serve webdav`."""

    many = 60

    @pytest.fixture
    def open_place(self, rclone: RcloneWebdav) -> Open:
        """An empty folder: a new one each time, for rclone keeps what it saw in one.

        While one moves something to a name it says `locked` to others, who are to try again.
        """
        place = rclone.place(f"/place{next(_NUMBERS)}")
        return lambda tag: Retrying(rclone.open(tag, place), patience=_SHORT)


@pytest.mark.nightly
class TestWsgidav(StoreContract):
    """wsgidav."""

    many = 60

    @pytest.fixture
    def open_place(self, wsgidav: Wsgidav) -> Generator[Open, None, None]:
        """An empty folder on the server, which answers 500 to some who move to one name at once."""
        yield lambda tag: Retrying(wsgidav.open(tag), patience=_SHORT)
        shutil.rmtree(wsgidav.files / "place")

    def test_temporary_names_of_a_dead_writer(self, open_place: Open, wsgidav: Wsgidav) -> None:
        """Else each killed run takes the space of a block for ever."""
        open_place("t").put("r1/keys/k", [b"1"])
        folder = wsgidav.files / "place/r1/tmp"
        for name in ("dead-7", "alive-1"):
            (folder / name).write_bytes(b"half a block")
        assert open_place("t").remove_temporaries("r1", "dead") == 1
        assert os.listdir(folder) == ["alive-1"]

    def test_a_folder_is_not_removed_with_what_another_writer_put_there(self, open_place: Open) -> None:
        """WebDAV's DELETE of a folder takes all that is in it."""
        store = open_place("t")
        for name in ("r1/sessions/s/1", "r1/sessions/s/2"):
            store.put(name, [b"1"])
        store.delete("r1/sessions/s/1")
        store.remove_empty_folders("r1/sessions")
        assert store.get("r1/sessions/s/2") == b"1"

    def test_names_that_others_made_are_not_followed(self, open_place: Open, wsgidav: Wsgidav) -> None:
        """A name that a server lists decides nothing: neither what is read, nor what a terminal does."""
        store = open_place("t")
        store.put("r1/keys/k", [b"1"])
        for name in ("Thumbs.db", ".hidden", "größe", "a b", "%2e%2e", "a&b", "LOUD"):
            (wsgidav.files / "place/r1/keys" / name).write_bytes(b"x")
        assert [info.name for info in store.list("")] == ["r1/keys/k"]
        assert store.top_names() == ["r1"]


def test_without_tls_where_that_is_allowed(tmp_path: Path) -> None:
    """Some nets have none, and their owner says so."""
    with _running(RcloneWebdav(tmp_path, is_plain=True)) as server:
        store = server.open()
        store.put("r1/blocks/aa/b", [bytes(MIB)])
        assert store.get("r1/blocks/aa/b", 5, 7) == bytes(7)
        store.close()


class TestRefusals:
    """What is wrong is said at the opening, by a class of its own, with what to do."""

    @pytest.mark.parametrize("make", ["rclone", "wsgidav"])
    def test_a_wrong_password(self, make: str, request: pytest.FixtureRequest) -> None:
        server: WebdavServer = request.getfixturevalue(make)
        with pytest.raises(StoreLoginError) as caught:
            server.open(access=server.access("not-this-one"))
        assert "--credentials-file" in caught.value.hint
        assert "not-this-one" not in f"{caught.value} {caught.value.hint} {caught.value.context}"

    def test_no_password(self, rclone: RcloneWebdav) -> None:
        with pytest.raises(StoreLoginError, match="no password"):
            rclone.open(access=StoreAccess(ca_file=str(rclone.authority.file)))

    def test_user_and_password_by_name(self, rclone: RcloneWebdav) -> None:
        text = f"user = {USER}\npassword = {PASSWORD}\n".encode()
        access = StoreAccess(credentials=text, ca_file=str(rclone.authority.file))
        rclone.open(place=f"webdavs://127.0.0.1:{rclone.port}/", access=access).close()
        with pytest.raises(UsageError, match="different users"):
            rclone.open(place=f"webdavs://other@127.0.0.1:{rclone.port}/", access=access)

    @pytest.mark.parametrize(
        ("kind", "words", "hint"),
        [("expired", "expired", "clock"), ("other name", "mismatch", "name"), ("unknown", "issuer", "--ca-file")],
    )
    def test_a_certificate_that_is_not_good(self, kind: str, words: str, hint: str, tmp_path: Path) -> None:
        """Else whoever sits between reads the password."""
        authority = Authority(tmp_path)
        name = "127.0.0.2" if kind == "other name" else "127.0.0.1"
        certificate = authority.server("bad", name=name, is_expired=kind == "expired")
        with _running(RcloneWebdav(tmp_path, authority, certificate)) as server:
            trusted = Authority(tmp_path, "stranger") if kind == "unknown" else authority
            with pytest.raises(CertificateError, match=words) as caught:
                server.open(access=StoreAccess(credentials=PASSWORD.encode(), ca_file=str(trusted.file)))
            assert hint in caught.value.hint

    def test_plaintext_is_to_be_allowed(self) -> None:
        with pytest.raises(PlaintextError) as caught:
            open_store(f"webdav://{USER}@127.0.0.1/place", "t", StoreAccess(credentials=b"x"))
        assert "webdavs://" in caught.value.hint

    def test_a_file_that_holds_no_certificates(self, rclone: RcloneWebdav, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        for name in ("empty", "none"):
            with pytest.raises(UsageError, match="no certificates"):
                rclone.open(access=StoreAccess(credentials=b"x", ca_file=str(tmp_path / name)))

    def test_a_missing_folder(self, rclone: RcloneWebdav) -> None:
        with pytest.raises(StoreFolderError, match="/no does not exist"):
            rclone.open(place=rclone.place("/no/where"))
        with pytest.raises(StoreFolderError):
            rclone.open(place=rclone.place("/nothing"), create=False)

    @pytest.mark.parametrize("make", ["rclone", "wsgidav"])
    def test_a_file_in_the_place_of_the_folder(self, make: str, request: pytest.FixtureRequest) -> None:
        server: WebdavServer = request.getfixturevalue(make)
        server.open(place=server.place("/occupied")).put("file", [b"x"])
        with pytest.raises(PlaceOccupiedError):
            server.open(place=server.place("/occupied/file"))

    def test_a_server_that_only_gives(self, tmp_path: Path) -> None:
        """Reading goes on, writing is refused as that and leaves nothing."""
        (tmp_path / "files/place/r1/keys").mkdir(parents=True)
        (tmp_path / "files/place/r1/keys/k").write_bytes(b"1")
        with _running(RcloneWebdav(tmp_path, None, None, "--read-only")) as server:
            store = server.open()
            assert store.get("r1/keys/k") == b"1"
            with pytest.raises(ReadOnlyStoreError):
                store.put("r1/keys/l", [b"2"])
            with pytest.raises(DestinationRefusedError):
                store.delete("r1/keys/k")
            assert [info.name for info in store.list("")] == ["r1/keys/k"]

    @pytest.mark.parametrize(
        ("place", "kind"),
        [
            ("webdavs://u@h/a%0D%0AX:%20y", UsageError),
            ("webdavs://u%0A@h/a", UsageError),
            ("webdavs://u@h/a/../b", UsageError),
            ("webdavs://u@h/a?b=c", UsageError),
            ("webdavs://u%3Ax@h/a", UsageError),
            (f"webdavs://u@h/{'x' * 256}", NameTooLongError),
        ],
    )
    def test_addresses_that_mean_something_else(self, place: str, kind: type[Exception]) -> None:
        with pytest.raises(kind):
            open_store(place, "t", StoreAccess(credentials=b"x"))

    def test_a_name_that_nobody_knows_a_port_that_nobody_has_and_one_without_tls(self, tmp_path: Path) -> None:
        with _running(RcloneWebdav(tmp_path, is_plain=True)) as server:
            places = (
                "webdavs://u@nowhere.invalid/a",
                "webdavs://u@127.0.0.1:1/a",
                f"webdavs://u@127.0.0.1:{server.port}/a",
            )
            for place in places:
                with pytest.raises(DestinationUnreachableError) as caught:
                    server.open(place=place)
                assert caught.value.hint


class TestFailures:
    """A server that dies, stalls or fills up gives a typed error in time, and nothing half made."""

    def test_killed_in_the_middle_of_a_put(self, tmp_path: Path) -> None:
        with _running(RcloneWebdav(tmp_path)) as server:
            store = server.open()
            store.put("r1/keys/k", [b"1"])
            with pytest.raises(DestinationUnreachableError) as caught:
                store.put("r1/blocks/aa/b", _KillsAt(server, 3))
            assert caught.value.retryable
            store.close()
        with _running(RcloneWebdav(tmp_path)) as server:
            store = server.open("t2")
            assert [info.name for info in store.list("")] == ["r1/keys/k"]
            store.remove_temporaries("r1", "t1")
            assert os.listdir(tmp_path / "files/place/r1/tmp") == []

    def test_killed_in_the_middle_of_a_get(self, tmp_path: Path) -> None:
        with _running(RcloneWebdav(tmp_path)) as server:
            store = server.open()
            store.put("r1/blocks/aa/b", [bytes(MIB)] * 64)
            threading.Timer(0.05, server.kill).start()
            with pytest.raises(DestinationUnreachableError) as caught:
                _ = [store.get("r1/blocks/aa/b") for _ in range(100)]
            assert caught.value.retryable

    def test_a_connection_that_the_server_closed_while_idle(self, tmp_path: Path) -> None:
        """Servers do that after seconds; the next call just connects again."""
        with _running(RcloneWebdav(tmp_path)) as server:
            store = server.open()
            server.kill()
            server.start_again(server.port)
            store.put("r1/keys/k", [b"1"])
            assert store.get("r1/keys/k") == b"1"

    @pytest.mark.alone
    def test_a_server_that_stalls(self, tmp_path: Path) -> None:
        """No call hangs for ever: neither one on an open connection nor one that connects."""
        with _running(RcloneWebdav(tmp_path)) as server:
            store = server.open(seconds=1.0)
            store.put("r1/keys/k", [b"1"])
            server.stall()
            for call in (lambda: store.get("r1/keys/k"), lambda: server.open("t2", seconds=1.0)):
                began = time.monotonic()
                with pytest.raises(DestinationUnreachableError, match="does not answer"):
                    call()
                assert time.monotonic() - began < 5
            server.go_on()
            assert store.get("r1/keys/k") == b"1"

    @pytest.mark.root
    @pytest.mark.platform("linux")
    @pytest.mark.parametrize("make", [RcloneWebdav, Wsgidav])
    def test_a_full_disk(self, make: type[RcloneWebdav] | type[Wsgidav], tmp_path: Path) -> None:
        """Its own error, which nobody tries again; what lies there stays, the part that was sent goes."""
        folder = tmp_path / "server"
        folder.mkdir()
        with tmpfs(folder / "files", "4m"), _running(make(folder)) as server:
            store = server.open()
            store.put("r1/keys/k", [b"1"])
            with pytest.raises(DestinationFullError) as caught:
                store.put("r1/blocks/aa/b", [bytes(MIB)] * 16)
            assert "space" in caught.value.hint
            store.close()
            assert store.may_leave_temporaries is False
            assert [info.name for info in server.open("t2").list("")] == ["r1/keys/k"]
            assert os.listdir(folder / "files/place/r1/tmp") == []

    def test_secrets_are_in_no_message(self, rclone: RcloneWebdav) -> None:
        store = rclone.open(place=rclone.place("/secrets"))
        with pytest.raises(DestinationError) as caught:
            store.get("r1/none")
        assert PASSWORD not in f"{caught.value} {caught.value.hint} {caught.value.context} {store.shown}"


class _KillsAt(list[bytes]):
    """Buffers of which one kills the server when it is sent."""

    def __init__(self, server: WebdavServer, number: int) -> None:
        super().__init__([bytes(MIB)] * 16)
        self._server, self._number, self._times = server, number, 0

    def __iter__(self) -> Iterator[bytes]:
        self._times += 1
        for number, buffer in enumerate(super().__iter__()):
            # Those before measure.
            if self._times == 3 and number == self._number:
                self._server.kill()
            yield buffer
