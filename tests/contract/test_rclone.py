"""Remotes of rclone as stores: a directory, one that encrypts, and SeaweedFS through its S3 door."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Opening, Store
from backupd.destination.stores import open_once
from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationRefusedError,
    DestinationUnreachableError,
    UsageError,
)
from backupd.model.store_access import StoreAccess
from backupd.store_errors import (
    NameTooLongError,
    PlaintextError,
    StoreFolderError,
    StoreLoginError,
    StoreProgramError,
)
from tests.contract.suite import MANY, MIB, Open, StoreContract
from tests.support.rclone_processes import listening_inodes, opened_by, rclones, socket_inodes
from tests.support.servers.http_server import HttpServer, program
from tests.support.servers.rclone_remotes import (
    BUCKET,
    READER_KEY,
    READER_SECRET,
    SECRET,
    directory_remotes,
    s3_remote,
    s3_server,
)

_OPENED: list[Store] = []


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[None, None, None]:
    """The rclone of this environment is found, and no configuration of who runs the tests; none stays for the next."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    while _OPENED:
        _OPENED.pop().close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


def _opener(place: str, access: StoreAccess) -> Generator[Open, None, None]:
    opened: list[Store] = []

    def open_it(tag: str) -> Store:
        opened.append(open_once(Opening(place, tag, access, create=True)))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


class TestDirectory(StoreContract):
    """Through an alias: writes show early there, so temporary names are needed."""

    @pytest.fixture
    def open_place(self, tmp_path: Path) -> Generator[Open, None, None]:
        yield from _opener("rclone:dir:place", StoreAccess(credentials=directory_remotes(tmp_path / "dir")))

    @pytest.fixture
    def store(self, open_place: Open, tmp_path: Path) -> Store:
        """The place, and where it lies."""
        self.place = tmp_path / "dir/place"
        return open_place("t1")

    def test_a_listing_of_many(self, store: Store) -> None:
        """A directory has no pages, so that the names are made by hand: a thousand uploads say no more."""
        names = [f"r1/blocks/{number % 7:02x}/{number:032x}" for number in range(MANY)]
        for name in names:
            (self.place / name).parent.mkdir(parents=True, exist_ok=True)
            (self.place / name).write_bytes(b"x")
        assert sorted(info.name for info in store.list("r1/blocks/")) == sorted(names)
        assert store.top_names() == ["r1"]


_PLACES = itertools.count()


@pytest.mark.nightly
class TestSeaweedFs(StoreContract):
    """A remote of buckets."""

    @pytest.fixture
    def open_place(self, server: HttpServer) -> Generator[Open, None, None]:
        access = StoreAccess(credentials=s3_remote(server.port), allow_plaintext=True)
        yield from _opener(f"rclone:sea:{BUCKET}/place-{next(_PLACES)}", access)


def _open(place: str, configuration: bytes | None, tag: str = "t", *, plain: bool = True) -> Store:
    access = StoreAccess(credentials=configuration, allow_plaintext=plain)
    _OPENED.append(open_once(Opening(place, tag, access, create=True)))
    return _OPENED[-1]


def _refused(place: str, configuration: bytes | None, *, plain: bool = True) -> BackupError:
    with pytest.raises(BackupError) as caught:
        _open(place, configuration, plain=plain).close()
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert "wrong-secret" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


class TestBadInput:
    """Each has its own error, and a hint that says what to do."""

    def test_an_unknown_remote(self, tmp_path: Path) -> None:
        error = _refused("rclone:drvie:place", directory_remotes(tmp_path / "dir"))
        assert isinstance(error, StoreFolderError)
        assert "crypt, dir" in error.hint

    def test_a_folder_whose_parent_is_not_there(self, tmp_path: Path) -> None:
        error = _refused("rclone:dir:none/place", directory_remotes(tmp_path / "dir"))
        assert isinstance(error, StoreFolderError)
        assert "rclone mkdir dir:none" in error.hint
        assert not (tmp_path / "dir/none").exists()

    def test_a_bucket_that_is_not_there_is_not_made(self, server: HttpServer, tmp_path: Path) -> None:
        """Else a misspelt or lost bucket is an empty place, and nobody hears of it."""
        error = _refused("rclone:sea:backupz/place", s3_remote(server.port))
        assert isinstance(error, StoreFolderError)
        assert "rclone mkdir sea:backupz" in error.hint
        configuration = tmp_path / "rclone.conf"
        configuration.write_bytes(s3_remote(server.port))
        command = [program("rclone"), f"--config={configuration}"]
        subprocess.run([*command, "mkdir", "sea:lost"], check=True, timeout=60)
        store = _open("rclone:sea:lost/place", s3_remote(server.port))
        subprocess.run([*command, "rmdir", "sea:lost"], check=True, timeout=60)
        with pytest.raises(StoreFolderError):
            store.put("r1/keys/k", [b"1"])
        with pytest.raises(StoreFolderError):
            list(store.list("r1/"))
        store.close()

    def test_a_wrong_login(self, server: HttpServer) -> None:
        error = _refused(f"rclone:sea:{BUCKET}/place", s3_remote(server.port, secret="wrong-secret"))
        assert isinstance(error, StoreLoginError)
        assert "rclone lsd sea:" in error.hint

    def test_a_login_that_may_only_read(self, server: HttpServer) -> None:
        store = _open(f"rclone:sea:{BUCKET}/place", s3_remote(server.port, READER_SECRET, READER_KEY))
        with pytest.raises(DestinationRefusedError, match="rclone:sea"):
            store.put("r1/keys/k", [b"1"])
        assert store.size("r1/keys/k") is None
        store.close()

    def test_a_server_that_is_not_there(self) -> None:
        error = _refused(f"rclone:sea:{BUCKET}/place", s3_remote(1))
        assert isinstance(error, DestinationUnreachableError)
        assert error.retryable

    def test_a_net_that_anybody_reads(self, server: HttpServer) -> None:
        error = _refused(f"rclone:sea:{BUCKET}/place", s3_remote(server.port), plain=False)
        assert isinstance(error, PlaintextError)
        behind = s3_remote(server.port) + b"\n[outer]\ntype = alias\nremote = sea:backups\n"
        assert isinstance(_refused("rclone:outer:place", behind, plain=False), PlaintextError)

    def test_a_secret_in_the_address(self) -> None:
        for place in ("rclone::s3,secret_access_key=wrong-secret:b/p", "rclone:sea,pass=wrong-secret:b", "rclone:b"):
            assert isinstance(_refused(place, None), UsageError)

    def test_a_name_too_long(self, tmp_path: Path) -> None:
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        with pytest.raises(NameTooLongError):
            store.put("r1/keys/" + "k" * 300, [b"1"])
        store.close()
        assert not store.may_leave_temporaries
        assert os.listdir(tmp_path / "dir/place/r1/tmp") == []

    def test_no_rclone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        error = _refused("rclone:dir:place", None)
        assert isinstance(error, StoreProgramError)
        assert "install rclone 1.69.0" in error.hint

    def test_an_old_rclone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Debian 12's does not know Unix sockets; a later one lets everybody in who reaches the socket."""
        old = tmp_path / "old/rclone"
        old.parent.mkdir()
        old.write_text('#!/bin/sh\n[ "$1" = version ] && echo "rclone v1.60.1-DEV" && exit 0\nexit 2\n')
        old.chmod(0o700)
        monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
        error = _refused("rclone:dir:place", None)
        assert isinstance(error, StoreProgramError)
        assert "1.60.1 is too old" in error.message

    def test_a_configuration_that_is_encrypted(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        configuration = tmp_path / "rclone.conf"
        configuration.write_bytes(directory_remotes(tmp_path / "dir"))
        command = [program("rclone"), f"--config={configuration}", "config", "encryption", "set"]
        subprocess.run([*command, "--password-command", "echo conf-pass"], check=True, capture_output=True)
        monkeypatch.setenv("RCLONE_CONFIG", str(configuration))
        error = _refused("rclone:dir:place", None)
        assert isinstance(error, StoreLoginError)
        assert "RCLONE_CONFIG_PASS" in error.hint
        monkeypatch.setenv("RCLONE_CONFIG_PASS", "conf-pass")
        _open("rclone:dir:place", None).close()

    def test_variables_that_would_make_rclone_pretend(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """With RCLONE_DRY_RUN each upload is told as done, and none is."""
        monkeypatch.setenv("RCLONE_DRY_RUN", "true")
        monkeypatch.setenv("RCLONE_EXCLUDE", "*")
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        store.put("r1/keys/k", [b"1"])
        assert [info.name for info in store.list("")] == ["r1/keys/k"]
        store.close()


class TestCrypt:
    """A remote upon a remote."""

    def test_ranges_and_listings(self, tmp_path: Path) -> None:
        store = _open("rclone:crypt:place", directory_remotes(tmp_path / "dir"))
        data = os.urandom(MIB)
        store.put("r1/keys/k", [data])
        assert store.get("r1/keys/k", 70_000, 10) == data[70_000:70_010]
        assert store.get("r1/keys/k", MIB + 5, 10) == b""
        assert [(info.name, info.size_bytes) for info in store.list("")] == [("r1/keys/k", MIB)]
        store.close()


class TestForeignNames:
    """What others put there is not ours."""

    def test_they_are_left_out(self, tmp_path: Path) -> None:
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        store.put("r1/keys/k", [b"1"])
        for name in ("r1/keys/Großes", "r1/keys/a\nb", "r1/keys/k.partial~", "r1/tmp/dead-7"):
            path = tmp_path / "dir/place" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
        assert [info.name for info in store.list("")] == ["r1/keys/k"]
        assert store.remove_temporaries("r1", "dead") == 1
        assert store.remove_temporaries("r1", "dead") == 0
        store.close()


@pytest.mark.platform("linux")
class TestChild:
    """Who reaches it, and what its death does."""

    def test_nobody_else_reaches_it(self, tmp_path: Path) -> None:
        """Else every user of the machine has the stores of this one."""
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        (child,) = rclones()
        words = Path(f"/proc/{child}/cmdline").read_bytes()
        address = re.search(rb"unix://([^\0]*)/socket", words)
        assert address is not None
        folder = os.fsdecode(address[1])
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(f"{folder}/rclone.conf").st_mode) == 0o600
        password = re.search(rb"RCLONE_RC_PASS=([^\0]*)", Path(f"/proc/{child}/environ").read_bytes())
        assert password is not None
        assert password[1] not in words
        assert listening_inodes().isdisjoint(socket_inodes(child))
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(f"{folder}/socket")
            one.sendall(b"POST /config/dump HTTP/1.0\r\n\r\n")
            assert b" 401 " in one.recv(100)
        store.close()
        assert not os.path.exists(folder)
        assert rclones() == []

    def test_it_dies_with_its_parent(self, tmp_path: Path) -> None:
        """Else each killed run leaves a program that holds a login, and the login's file."""
        script = (
            "import sys, time\nfrom backupd.destination.contract import Opening\n"
            "from backupd.destination.stores import open_once\n"
            "from backupd.model.orders import StoreAccess\n"
            "access = StoreAccess(credentials=sys.stdin.buffer.read())\n"
            "store = open_once(Opening('rclone:dir:p', 't', access, create=True))\n"
            "print(store._calls.folder, flush=True)\ntime.sleep(60)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(directory_remotes(tmp_path / "dir"))
        parent.stdin.close()
        folder = parent.stdout.readline().decode().strip()
        assert os.path.exists(f"{folder}/rclone.conf")
        assert len(rclones(parent.pid)) == 1
        (child,) = rclones(parent.pid)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        _until(lambda: not os.path.exists(folder) and not os.path.exists(f"/proc/{child}"))

    def test_killed_in_mid_put(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half of an object must never be seen as one, and the next try must find a new rclone."""
        monkeypatch.setenv("RCLONE_BWLIMIT", "4M")
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        place = tmp_path / "dir/place/r1"
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(store.put, "r1/blocks/b", [bytes(32 * MIB)])
            _until(lambda: any(path.stat().st_size for path in place.glob("tmp/*")))
            os.kill(rclones()[0], signal.SIGKILL)
            with pytest.raises(DestinationUnreachableError, match="ended in the middle"):
                done.result(30)
        assert not (place / "blocks/b").exists()
        monkeypatch.delenv("RCLONE_BWLIMIT")
        store.put("r1/blocks/b", [b"whole"])
        assert store.get("r1/blocks/b") == b"whole"
        store.close()

    def test_killed_in_mid_get(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RCLONE_BWLIMIT", "4M")
        store = _open("rclone:dir:place", directory_remotes(tmp_path / "dir"))
        (tmp_path / "dir/place/r1").mkdir()
        (tmp_path / "dir/place/r1/b").write_bytes(bytes(32 * MIB))
        child = rclones()[0]
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(store.get, "r1/b")
            _until(lambda: any(str(tmp_path) in link for link in opened_by(child)))
            os.kill(child, signal.SIGKILL)
            with pytest.raises(DestinationUnreachableError):
                done.result(30)
        monkeypatch.delenv("RCLONE_BWLIMIT")
        assert store.get("r1/b", 5, 3) == bytes(3)
        store.close()


class TestServerDies:
    """A store that goes away in the middle of a call."""

    def test_in_mid_put_and_mid_get(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RCLONE_BWLIMIT", "4M")
        with s3_server(tmp_path, is_brief=True) as server:
            store = _open(f"rclone:sea:{BUCKET}/place", s3_remote(server.port))
            store.put("r1/blocks/first", [bytes(MIB)])
            with ThreadPoolExecutor(2) as pool:
                put = pool.submit(store.put, "r1/blocks/b", [bytes(32 * MIB)])
                with pytest.raises(TimeoutError):
                    put.result(1.5)
                server.kill()
                with pytest.raises(DestinationError) as caught:
                    put.result(60)
                assert caught.value.retryable
                with pytest.raises(DestinationUnreachableError):
                    store.get("r1/blocks/first")
            server.start()
            _until(lambda: [info.name for info in store.list("r1/")] == ["r1/blocks/first"])
            store.close()


def _until(is_so: Callable[[], bool]) -> None:
    clock = SystemClock()
    end = clock.monotonic() + 30
    while True:
        with suppress(DestinationError):
            if is_so():
                return
        assert clock.monotonic() < end
        time.sleep(0.02)
