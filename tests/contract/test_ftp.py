"""A folder of an FTP server as a store, over TLS of both kinds and without."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from backupd.destination.contract import Opening
from backupd.destination.ftp.connection import Connection, Server
from backupd.destination.ftp.listing import Entry, entries, is_empty
from backupd.destination.stores import open_once, open_store
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.model.store_access import StoreAccess
from backupd.store_errors import (
    CertificateError,
    NameTooLongError,
    PlaintextError,
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreBusyError,
    StoreFolderError,
    StoreLoginError,
)
from tests.contract.suite import MIB, Open, StoreContract
from tests.support.mounting import tmpfs
from tests.support.servers.certificates import Authority
from tests.support.servers.ftpd import PASSWORD, READER, USER, Ftpd


@pytest.fixture(scope="module")
def ftpd(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ftpd, None, None]:
    """A server with TLS that is asked for."""
    with served(tmp_path_factory.mktemp("ftpd")) as server:
        yield server


@contextmanager
def served(folder: Path, **wishes: object) -> Iterator[Ftpd]:
    """A server of a test's own, which the test may kill."""
    server = Ftpd(folder, **wishes)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.kill()


class TestFtps(StoreContract):
    """pyftpdlib with AUTH TLS."""

    many = 60

    @pytest.fixture
    def open_place(self, ftpd: Ftpd) -> Generator[Open, None, None]:
        """An empty folder on the server."""
        yield ftpd.open
        shutil.rmtree(ftpd.files / "place")

    def test_temporary_names_of_a_dead_writer(self, open_place: Open, ftpd: Ftpd) -> None:
        """Else each killed run takes the space of a block for ever."""
        open_place("t").put("r1/keys/k", [b"1"])
        folder = ftpd.files / "place/r1/tmp"
        for name in ("dead-7", "alive-1"):
            (folder / name).write_bytes(b"half a block")
        assert open_place("t").remove_temporaries("r1", "dead") == 1
        assert os.listdir(folder) == ["alive-1"]

    def test_only_empty_folders_are_removed(self, open_place: Open, ftpd: Ftpd) -> None:
        """Some servers remove a full folder, too."""
        store = open_place("t")
        store.put("r1/sessions/s/1", [b"1"])
        (ftpd.files / "place/r1/sessions/empty").mkdir()
        store.remove_empty_folders("r1/sessions")
        assert os.listdir(ftpd.files / "place/r1/sessions") == ["s"]
        store.delete("r1/sessions/s/1")
        assert os.listdir(ftpd.files / "place/r1/sessions") == []
        store.put("r1/sessions/s/2", [b"its folder is made again"])
        assert store.size("r1/sessions/s/2") == 24

    def test_names_that_others_made_are_not_followed(self, open_place: Open, ftpd: Ftpd) -> None:
        """A name that a server lists decides nothing: neither what is read, nor what a terminal does."""
        store = open_place("t")
        store.put("r1/keys/k", [b"1"])
        for name in ("Thumbs.db", ".hidden", "new\nline", "bell\a", "k\r", "größe", "a b", "-rf"):
            (ftpd.files / "place/r1/keys" / name).write_bytes(b"x")
        (ftpd.files / "place/r1/LOUD").mkdir()
        (ftpd.files / "place/r1/LOUD/k").write_bytes(b"x")
        assert sorted(info.name for info in store.list("")) == ["r1/keys/-rf", "r1/keys/k"]

    def test_a_loop_of_links_is_left(self, open_place: Open, ftpd: Ftpd) -> None:
        """Servers show a link to a folder as a folder."""
        store = open_place("t")
        store.put("r1/keys/k", [b"1"])
        (ftpd.files / "place/r1/keys/loop").symlink_to("../..")
        assert len(list(store.list("r1/"))) < 10

    def test_a_short_read_of_a_large_object_leaves_the_connection_usable(self, open_place: Open, ftpd: Ftpd) -> None:
        """Else each header that is read costs a new login, or the next answer is that of the call before."""
        store = open_place("t")
        body = os.urandom(8 * MIB)
        store.put("r1/blocks/aa/b", [body])
        before = ftpd.log.count("USER")
        for number in range(10):
            assert store.get("r1/blocks/aa/b", number * 1000, 500) == body[number * 1000 : number * 1000 + 500]
            assert store.size("r1/blocks/aa/b") == len(body)
        assert ftpd.log.count("USER") == before


@pytest.mark.parametrize("tls", ["implicit", "none"])
def test_the_other_ways_to_connect(tls: str, tmp_path: Path) -> None:
    """Old servers begin with TLS; some nets have none, and their owner says so."""
    with served(tmp_path, tls=tls) as server:
        store = server.open()
        body = os.urandom(3 * MIB)
        store.put("r1/blocks/aa/b", [body])
        assert store.get("r1/blocks/aa/b") == body
        assert store.get("r1/blocks/aa/b", 5, 7) == body[5:12]
        assert [info.name for info in store.list("")] == ["r1/blocks/aa/b"]
        with pytest.raises(ObjectExistsError):
            store.put("r1/blocks/aa/b", [b"x"])
        store.close()


def test_data_connections_take_up_the_session_of_the_control_connection(ftpd: Ftpd) -> None:
    """ProFTPD, vsftpd and FileZilla Server refuse all others: nothing could be stored there."""
    context = ssl.create_default_context(cafile=str(ftpd.authority.file))
    connection = Connection(Server("127.0.0.1", ftpd.port, "explicit", USER, PASSWORD, context))
    for _ in range(3):
        with closing(connection.transfercmd("MLSD /")) as data:
            assert isinstance(data, ssl.SSLSocket)
            assert data.session_reused
            while data.recv(4096):
                pass
        connection.voidresp()
    connection.drop()


class TestRefusals:
    """What is wrong is said at the opening, by a class of its own, with what to do."""

    def test_a_wrong_password(self, ftpd: Ftpd) -> None:
        with pytest.raises(StoreLoginError) as caught:
            ftpd.open(access=ftpd.access("not-this-one"))
        assert "--credentials-file" in caught.value.hint
        assert "not-this-one" not in f"{caught.value} {caught.value.hint} {caught.value.context}"

    def test_no_password(self, ftpd: Ftpd) -> None:
        with pytest.raises(StoreLoginError, match="no password"):
            ftpd.open(access=StoreAccess(ca_file=str(ftpd.authority.file)))

    def test_user_and_password_by_name(self, ftpd: Ftpd) -> None:
        text = f"user = {USER}\npassword = {PASSWORD}\n".encode()
        access = StoreAccess(credentials=text, ca_file=str(ftpd.authority.file))
        ftpd.open(place=f"ftps://127.0.0.1:{ftpd.port}/", access=access).close()
        with pytest.raises(UsageError, match="different users"):
            ftpd.open(place=f"ftps://other@127.0.0.1:{ftpd.port}/", access=access)

    @pytest.mark.parametrize(
        ("kind", "words", "hint"),
        [("expired", "expired", "clock"), ("other name", "mismatch", "name"), ("unknown", "issuer", "--ca-file")],
    )
    def test_a_certificate_that_is_not_good(self, kind: str, words: str, hint: str, tmp_path: Path) -> None:
        """Else whoever sits between reads the password."""
        authority = Authority(tmp_path)
        name = "127.0.0.2" if kind == "other name" else "127.0.0.1"
        certificate = authority.server("bad", name=name, is_expired=kind == "expired")
        with served(tmp_path, authority=authority, certificate=certificate) as server:
            trusted = Authority(tmp_path, "stranger") if kind == "unknown" else authority
            access = StoreAccess(credentials=PASSWORD.encode(), ca_file=str(trusted.file))
            with pytest.raises(CertificateError, match=words) as caught:
                server.open(access=access)
            assert hint in caught.value.hint
            assert "USER" not in server.log

    def test_a_server_without_tls_gets_no_login(self, tmp_path: Path) -> None:
        with served(tmp_path, tls="none") as server, pytest.raises(DestinationRefusedError, match="no TLS"):
            server.open(place=f"ftps://{USER}@127.0.0.1:{server.port}/place")

    def test_plaintext_is_to_be_allowed(self) -> None:
        with pytest.raises(PlaintextError) as caught:
            open_store(f"ftp://{USER}@127.0.0.1/place", "t", StoreAccess(credentials=b"x"))
        assert "ftps://" in caught.value.hint

    def test_a_missing_folder(self, ftpd: Ftpd) -> None:
        with pytest.raises(StoreFolderError, match="/no does not exist"):
            ftpd.open(place=ftpd.place("/no/where"))
        with pytest.raises(StoreFolderError):
            ftpd.open(place=ftpd.place("/nothing"), create=False)
        assert os.listdir(ftpd.files) == []

    def test_a_file_in_the_place_of_the_folder(self, ftpd: Ftpd) -> None:
        (ftpd.files / "file").write_bytes(b"x")
        with pytest.raises(PlaceOccupiedError):
            ftpd.open(place=ftpd.place("/file"))
        (ftpd.files / "file").unlink()

    def test_a_user_who_may_only_read(self, ftpd: Ftpd) -> None:
        """Reading goes on, writing is refused as that and leaves nothing."""
        ftpd.open().put("r1/keys/k", [b"1"])
        store = ftpd.open(place=ftpd.place(user=READER))
        assert store.get("r1/keys/k") == b"1"
        with pytest.raises(ReadOnlyStoreError) as caught:
            store.put("r1/keys/l", [b"2"])
        assert "right to write" in caught.value.hint
        with pytest.raises(DestinationRefusedError):
            store.delete("r1/keys/k")
        assert [info.name for info in store.list("")] == ["r1/keys/k"]
        store.close()
        assert store.may_leave_temporaries is False
        shutil.rmtree(ftpd.files / "place")

    @pytest.mark.parametrize(
        "place",
        [
            "ftps://u@h/a%0D%0ADELE%20x",
            "ftps://u%0A@h/a",
            "ftps://u@h/a/../b",
            "ftps://u@h/a?tls=no",
            "ftps://u@h/a?b=c",
        ],
    )
    def test_addresses_that_mean_something_else(self, place: str) -> None:
        """A line end in a path would be a command of its own."""
        with pytest.raises(UsageError):
            open_store(place, "t", StoreAccess(credentials=b"x"))

    def test_a_name_too_long_for_any_file_system(self) -> None:
        with pytest.raises(NameTooLongError):
            open_store(f"ftps://u@h/{'x' * 256}", "t", StoreAccess(credentials=b"x"))

    def test_a_name_that_nobody_knows_and_a_port_that_nobody_has(self, ftpd: Ftpd) -> None:
        for place in ("ftps://u@nowhere.invalid/a", "ftps://u@127.0.0.1:1/a"):
            with pytest.raises(DestinationUnreachableError) as caught:
                ftpd.open(place=place)
            assert caught.value.hint

    def test_a_server_that_takes_few_connections(self, tmp_path: Path) -> None:
        """Threads then take turns; none of them fails."""
        with served(tmp_path, most_connections=2) as server:
            store = server.open()
            threads = [threading.Thread(target=store.put, args=(f"r1/a/{n}", [b"x" * n])) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(list(store.list("r1/"))) == 8
            with pytest.raises(StoreBusyError):
                server.open("t2")


class TestFailures:
    """A server that dies, stalls or fills up gives a typed error in time, and nothing half made."""

    def test_killed_in_the_middle_of_a_put(self, tmp_path: Path) -> None:
        with served(tmp_path) as server:
            store = server.open()
            store.put("r1/keys/k", [b"1"])
            with pytest.raises(DestinationUnreachableError) as caught:
                store.put("r1/blocks/aa/b", _KillsAt(server, 3))
            assert caught.value.retryable
            store.close()
            assert store.may_leave_temporaries is True
        with served(tmp_path) as server:
            store = server.open("t2")
            assert [info.name for info in store.list("")] == ["r1/keys/k"]
            assert store.remove_temporaries("r1", "t1") == 1

    def test_killed_in_the_middle_of_a_get(self, tmp_path: Path) -> None:
        with served(tmp_path) as server:
            store = server.open()
            store.put("r1/blocks/aa/b", [bytes(MIB)] * 64)
            threading.Timer(0.2, server.kill).start()
            with pytest.raises(DestinationUnreachableError) as caught:
                _ = [store.get("r1/blocks/aa/b") for _ in range(100)]
            assert caught.value.retryable

    def test_a_connection_that_the_server_closed_while_idle(self, tmp_path: Path) -> None:
        """Servers do that after minutes; the next call just connects again."""
        with served(tmp_path) as server:
            store = server.open()
            server.kill()
            server.start_again(server.port)
            store.put("r1/keys/k", [b"1"])
            assert store.get("r1/keys/k") == b"1"

    @pytest.mark.alone
    def test_a_server_that_stalls(self, tmp_path: Path) -> None:
        """No call hangs for ever: neither one on an open connection nor one that connects."""
        with served(tmp_path) as server:
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
    def test_a_full_disk(self, tmp_path: Path) -> None:
        """Its own error, which nobody tries again; what lies there stays, the part that was sent goes."""
        folder = tmp_path / "server"
        folder.mkdir()
        with tmpfs(folder / "files", "4m"), served(folder) as server:
            store = server.open()
            store.put("r1/keys/k", [b"1"])
            with pytest.raises(DestinationFullError) as caught:
                store.put("r1/blocks/aa/b", [bytes(MIB)] * 16)
            assert "space" in caught.value.hint
            store.close()
            assert store.may_leave_temporaries is False
            assert [info.name for info in server.open("t2").list("")] == ["r1/keys/k"]
            assert os.listdir(folder / "files/place/r1/tmp") == []

    def test_a_server_that_keeps_half(self, tmp_path: Path) -> None:
        """It says 226 all the same; a name is given to whole objects only."""
        with served(tmp_path, is_lossy=True) as server:
            store = server.open()
            with pytest.raises(StoreAnswerError, match="of 100 bytes 50"):
                store.put("r1/keys/k", [b"x" * 100])
            assert list(store.list("")) == []
            assert os.listdir(server.files / "place/r1/tmp") == []

    def test_a_server_that_answers_without_end(self, tmp_path: Path) -> None:
        """Else it takes all memory."""
        authority = Authority(tmp_path)
        with _babbling() as port:
            access = StoreAccess(credentials=b"x", ca_file=str(authority.file))
            with pytest.raises(DestinationError, match="not understood"):
                open_once(Opening(f"ftps://u@127.0.0.1:{port}/a", "t", access))


def test_what_a_listing_may_hold() -> None:
    """Other people's names, links, lies and garbage are no objects."""
    listing = (
        b"type=cdir; .\r\ntype=pdir; ..\r\ntype=file;size=5;perm=r; a\r\nType=Dir;Modify=1; b\r\n"
        b"type=file;size=1; ../x\r\ntype=file;size=1; a/b\r\ntype=file;size=1; \r\ntype=OS.unix=slink:/;size=1; l\r\n"
        b"type=file;size=-1; n\r\ntype=file;size=99999999999999999999999; n\r\ngarbage\r\n\xff\xfe\r\n\r\n"
        b"type=file;size=1; new\nline\r\ntype=file;size=1; nul\0\r\n" + b"x" * 10000 + b"\r\n"
    )
    assert list(entries(listing)) == [Entry("a", False, 5), Entry("b", True, 0)]
    assert is_empty(b"type=cdir; .\r\nType=pdir; ..\r\n")
    assert not is_empty(listing)


class _KillsAt(list[bytes]):
    """Buffers of which one kills the server when it is taken."""

    def __init__(self, server: Ftpd, number: int) -> None:
        super().__init__([bytes(MIB)] * 16)
        self._server, self._number, self._times = server, number, 0

    def __iter__(self) -> Iterator[bytes]:
        self._times += 1
        for number, buffer in enumerate(super().__iter__()):
            if self._times == 2 and number == self._number:
                self._server.kill()
            yield buffer


@contextmanager
def _babbling() -> Iterator[int]:
    """A port at which someone greets without end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def babble() -> None:
            with closing(listening.accept()[0]) as end:
                try:
                    while True:
                        end.sendall(b"220-hello\r\n" * 1000)
                except OSError:
                    return

        thread = threading.Thread(target=babble)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_secrets_are_in_no_message(ftpd: Ftpd) -> None:
    """A password that a server repeats would stand in every log."""
    store = ftpd.open()
    opening = Opening(ftpd.place(), "t", ftpd.access())
    for call in (lambda: store.get("r1/none"), lambda: ftpd.open(place=ftpd.place(f"/{PASSWORD}/x"))):
        with pytest.raises(DestinationError) as caught:
            call()
        assert PASSWORD not in f"{caught.value.hint} {caught.value.context}"
    assert PASSWORD not in store.shown + opening.place
    shutil.rmtree(ftpd.files / "place")
