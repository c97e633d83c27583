"""A directory behind SSH as a store: the contract at two kinds of server, and what only such a directory can suffer."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from backupd.destination.contract import Traits
from backupd.destination.sftp.ssh_connection import SftpLimits
from backupd.destination.stores import open_store
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationUnreachableError,
    ObjectExistsError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.store_errors import NameTooLongError, ReadOnlyStoreError, StoreFolderError
from tests.contract.suite import Open, StoreContract
from tests.support.full_disk import Tmpfs
from tests.support.servers.rclone_sftp import RcloneSftp, rclone_sftp
from tests.support.servers.sshd import Sshd, sshd
from tests.support.sftp_places import QUICK, open_sftp_at, open_sftp_at_other, right_access

MIB = 1 << 20
_places = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    """OpenSSH as it comes, with few sessions a connection."""
    with sshd(tmp_path_factory.mktemp("sshd"), ["MaxSessions 2"]) as started:
        yield started


@pytest.fixture
def own_server(tmp_path: Path) -> Generator[Sshd, None, None]:
    """One that a test may stop and kill."""
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd") as started:
        yield started


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneSftp, None, None]:
    with rclone_sftp(tmp_path_factory.mktemp("rclone")) as started:
        yield started


class TestSftp(StoreContract):
    """OpenSSH."""

    @pytest.fixture
    def open_place(self, server: Sshd, tmp_path: Path) -> Open:
        return lambda tag: open_sftp_at(server, tmp_path / "place", tag)

    def test_traits(self, open_place: Open) -> None:
        """Who believes that one creator wins where two can loses a snapshot; who doesn't works with one cleaner."""
        place = open_place("t")
        place.put("r1/keys/k", [b"1"])
        assert place.traits == Traits(create_if_absent=True, parallel_calls=True, reports_space=True)
        place.close()

    def test_modes_and_what_is_left(self, open_place: Open, tmp_path: Path) -> None:
        """Else others on the server read names and sizes, or a probe's names stay for ever."""
        place = open_place("t")
        place.put("r1/sessions/s/1", [b"1"])
        place.close()
        modes = {
            str(path.relative_to(tmp_path)): oct(path.stat().st_mode & 0o777)
            for path in (tmp_path / "place").rglob("*")
        }
        assert modes == {
            "place/r1": "0o700",
            "place/r1/sessions": "0o700",
            "place/r1/sessions/s": "0o700",
            "place/r1/sessions/s/1": "0o600",
            "place/r1/tmp": "0o700",
        }

    def test_what_is_not_ours_is_left_alone(self, open_place: Open, tmp_path: Path) -> None:
        """Else a stranger's name is taken for an object, or one planted name stops every restore and check."""
        place = open_place("t")
        place.put("r1/keys/k", [b"1"])
        keys = tmp_path / "place/r1/keys"
        (tmp_path / "secret").write_bytes(b"secret")
        (keys / "Upper").write_bytes(b"x")
        (keys / "line\nbreak").write_bytes(b"x")
        (keys / os.fsdecode(b"no-utf-8-\xff")).write_bytes(b"x")
        (keys / "link").symlink_to(tmp_path / "secret")
        (keys / "elsewhere").symlink_to(tmp_path)
        os.mkfifo(keys / "fifo")
        assert [info.name for info in place.list("r1/")] == ["r1/keys/k"]
        for name in ("fifo", "link", "elsewhere"):
            with pytest.raises(DestinationError, match="no file"):
                place.get(f"r1/keys/{name}")
            assert place.size(f"r1/keys/{name}") is None
        place.close()

    def test_temporary_names_of_a_dead_writer(self, open_place: Open, tmp_path: Path) -> None:
        """Else each killed run takes the space of a block for ever."""
        open_place("t").put("r1/keys/k", [b"1"])
        (tmp_path / "place/r1/tmp/dead-7").write_bytes(b"half a block")
        (tmp_path / "place/r1/tmp/alive-1").write_bytes(b"half a block")
        assert open_place("t").remove_temporaries("r1", "dead") == 1
        assert os.listdir(tmp_path / "place/r1/tmp") == ["alive-1"]

    def test_a_name_that_is_too_long(self, open_place: Open) -> None:
        """Else it is tried again for minutes, and nobody learns why."""
        place = open_place("t")
        with pytest.raises(NameTooLongError) as caught:
            place.put("r1/keys/" + "k" * 300, [b"1"])
        assert "shorter" in caught.value.hint
        place.close()
        assert place.may_leave_temporaries is False

    def test_a_place_that_goes_away(self, open_place: Open, tmp_path: Path) -> None:
        """A disk that is not mounted any more is no empty repository, and gets no new one."""
        place = open_place("t")
        place.put("r1/keys/k", [b"1"])
        (tmp_path / "place").rename(tmp_path / "away")
        with pytest.raises(DestinationUnreachableError):
            place.top_names()
        with pytest.raises(StoreFolderError):
            list(place.list(""))
        with pytest.raises(StoreFolderError):
            place.put("r1/keys/l", [b"1"])
        assert not (tmp_path / "place").exists()
        place.close()

    def test_a_place_that_is_none(self, server: Sshd, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreFolderError, match="does not exist"):
            open_sftp_at(server, tmp_path / "none", create=False)
        with pytest.raises(StoreFolderError, match="that is to hold it"):
            open_sftp_at(server, tmp_path / "none/deeper")
        with pytest.raises(PlaceOccupiedError):
            open_sftp_at(server, tmp_path / "file")
        assert os.listdir(tmp_path) == ["file"]


class TestSftpOfAnotherKind(StoreContract):
    """rclone's server: rename overwrites, there is no fsync, and the login is a password."""

    late_seconds = 30.0

    @pytest.fixture
    def open_place(self, other_server: RcloneSftp) -> Open:
        path = f"/place{next(_places)}"
        return lambda tag: open_sftp_at_other(other_server, path, tag)

    def test_traits(self, open_place: Open) -> None:
        """Two hosts can win there at the same moment, and that must be said."""
        place = open_place("t")
        place.put("r1/keys/k", [b"1"])
        assert place.traits.create_if_absent is False
        place.close()


@pytest.mark.needs("strace")
def test_an_object_is_on_the_disk_before_put_returns(tmp_path: Path) -> None:
    """Else a power cut at the server takes a snapshot that was told to be committed."""
    (tmp_path / "sshd").mkdir()
    prefix = ["strace", "-f", "-qq", "-y", "-o", str(tmp_path / "trace"), "-e", "trace=fsync,link,linkat"]
    with sshd(tmp_path / "sshd", prefix=prefix) as server:
        place = open_sftp_at(server, tmp_path / "place")
        place.put("r1/keys/first", [b"1"])
        before = len((tmp_path / "trace").read_text().splitlines())
        place.put("r1/keys/k", [b"1"])
        lines = (tmp_path / "trace").read_text().splitlines()[before:]
        place.close()
    calls = [re.sub(r"^\d+ +", "", line) for line in lines if "(" in line]
    assert [call.partition("(")[0] for call in calls] == ["fsync", "link", "fsync"]
    assert "/r1/tmp/t-" in calls[0]
    assert calls[2].rstrip().endswith(f"<{tmp_path}/place/r1/keys>) = 0")


def test_a_server_killed_in_the_middle_of_a_put(own_server: Sshd, tmp_path: Path) -> None:
    """A block in part under its name would be taken for the block."""
    place = open_sftp_at(own_server, tmp_path / "place")
    place.put("r1/keys/k", [b"1"])
    pieces = [os.urandom(MIB)] * 256

    def kill_when_some_is_there() -> None:
        folder = tmp_path / "place/r1/tmp"
        while not any(entry.stat().st_size > MIB for entry in folder.iterdir()):
            time.sleep(0.001)
        own_server.kill()

    killing = threading.Thread(target=kill_when_some_is_there)
    killing.start()
    with pytest.raises(DestinationUnreachableError) as caught:
        place.put("r1/blocks/aa/x", pieces)
    killing.join()
    assert caught.value.retryable
    assert not (tmp_path / "place/r1/blocks").exists()
    with pytest.raises(DestinationUnreachableError, match="Connection refused"):
        place.size("r1/keys/k")
    own_server.start()
    assert place.size("r1/blocks/aa/x") is None
    place.put("r1/blocks/aa/x", pieces[:3])
    place.close()
    assert place.may_leave_temporaries is False
    assert os.listdir(tmp_path / "place/r1/tmp") == []


def test_a_server_killed_in_the_middle_of_a_get(own_server: Sshd, tmp_path: Path) -> None:
    """What came of it is no object."""
    place = open_sftp_at(own_server, tmp_path / "place")
    with (tmp_path / "place/large").open("wb") as file:
        file.truncate(256 * MIB)
    killing = threading.Timer(0.3, own_server.kill)
    killing.start()
    with pytest.raises(DestinationUnreachableError) as caught:
        _ = [place.get("large") for _ in range(20)]
    killing.join()
    assert caught.value.retryable
    place.close()
    assert place.may_leave_temporaries is False


def test_temporary_names_that_nobody_can_remove_are_told(own_server: Sshd, tmp_path: Path) -> None:
    """Else half a block stays there for ever."""
    place = open_sftp_at(own_server, tmp_path / "place", limits=QUICK)
    place.put("r1/keys/k", [b"1"])
    own_server.stop()
    with pytest.raises(DestinationUnreachableError):
        place.put("r1/keys/l", [b"1"])
    place.close()
    assert place.may_leave_temporaries is True


@pytest.mark.alone
@pytest.mark.parametrize("call", ["put", "get", "list", "free_bytes", "open"])
def test_a_server_that_stands_still_hangs_nobody(own_server: Sshd, tmp_path: Path, call: str) -> None:
    """Else a dead machine holds a backup for ever, and with it all that wait for it."""
    place = open_sftp_at(own_server, tmp_path / "place", limits=QUICK)
    place.put("r1/keys/k", [b"1"])
    own_server.stop()
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: place.put("r1/blocks/aa/x", [bytes(64 * MIB)]),
        "get": lambda: place.get("r1/keys/k"),
        "list": lambda: list(place.list("")),
        "free_bytes": place.free_bytes,
        "open": lambda: open_sftp_at(own_server, tmp_path / "place", limits=QUICK),
    }
    began = time.monotonic()
    with pytest.raises(DestinationUnreachableError) as caught:
        calls[call]()
    place.close()
    assert time.monotonic() - began < 6
    assert caught.value.retryable and caught.value.hint  # noqa: PT018


@pytest.mark.alone
def test_a_slow_disk_is_no_dead_server(own_server: Sshd, tmp_path: Path) -> None:
    """Else what a busy disk takes a minute to sync is sent again and again, which makes it no faster."""
    place = open_sftp_at(own_server, tmp_path / "place", limits=QUICK)
    place.put("r1/keys/k", [b"1"])
    with ThreadPoolExecutor(1) as pool:
        with own_server.slow_disk():
            putting = pool.submit(place.put, "r1/blocks/aa/x", [bytes(6 * MIB)])
            time.sleep(2 * QUICK.silence_seconds)
            assert not putting.done()
        putting.result()
    assert place.size("r1/blocks/aa/x") == 6 * MIB
    place.close()


def test_connections_that_were_lost_while_idle_are_made_again(own_server: Sshd, tmp_path: Path) -> None:
    """Firewalls forget connections; a daily restart of the server is no reason to fail a run."""
    place = open_sftp_at(own_server, tmp_path / "place")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: place.put(f"r1/keys/{number}", [bytes(MIB)]), range(16)))
    own_server.restart()
    place.put("r1/keys/k", [b"1"])
    own_server.restart()
    assert place.get("r1/keys/k") == b"1"
    own_server.restart()
    assert len([*place.list("")]) == 17
    own_server.end_sessions()  # the connection still looks sound
    assert place.size("r1/keys/k") == 1
    place.close()


@pytest.mark.parametrize("line", ["MaxSessions 1", "MaxStartups 1"])
def test_a_server_that_gives_few_connections(tmp_path: Path, line: str) -> None:
    """Else eight threads at once make a backup fail that goes well with one."""
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd", [line]) as server:
        place = open_sftp_at(server, tmp_path / "place", limits=SftpLimits(connections=2))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: place.put(f"r1/keys/{number}", [bytes(MIB)]), range(24)))
        assert len([*place.list("")]) == 24
        place.close()


@pytest.mark.root
def test_a_full_disk(server: Sshd, tmp_path: Path) -> None:
    """The server says nothing but Failure; who is told so deletes nothing, and waits for a better day."""
    disk = Tmpfs(tmp_path / "place")
    disk.path.mkdir()
    disk.make()
    try:
        place = open_sftp_at(server, tmp_path / "place")
        place.put("r1/blocks/aa/a", [bytes(20 * MIB)])
        free = place.free_bytes()
        assert free is not None
        # Beyond the end by less than what is on the way at once: its refusal comes last.
        for size in (free + 100_000, 60 * MIB):
            with pytest.raises(DestinationFullError):
                place.put("r1/blocks/aa/b", [bytes(size)])
            assert os.listdir(disk.path / "r1/tmp") == []
        assert place.size("r1/blocks/aa/b") is None
        place.put("r1/blocks/aa/b", [bytes(MIB)])
        assert sorted(info.size_bytes for info in place.list("")) == [MIB, 20 * MIB]
        place.close()
    finally:
        disk.remove()


@pytest.mark.root
def test_a_disk_that_is_mounted_read_only(server: Sshd, tmp_path: Path) -> None:
    disk = Tmpfs(tmp_path / "place")
    disk.path.mkdir()
    disk.make()
    try:
        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        place = open_sftp_at(server, tmp_path / "place")
        with pytest.raises(ReadOnlyStoreError):
            place.put("r1/keys/k", [b"1"])
        place.close()
    finally:
        disk.remove()


def test_a_read_only_session(tmp_path: Path) -> None:
    """A mirror that may only be read can still be restored from."""
    (tmp_path / "sshd").mkdir()
    (tmp_path / "place").mkdir()
    (tmp_path / "place/k").write_bytes(b"1")
    with sshd(tmp_path / "sshd", ["Subsystem sftp internal-sftp -R"]) as server:
        place = open_sftp_at(server, tmp_path / "place")
        assert place.get("k") == b"1"
        with pytest.raises(ReadOnlyStoreError) as caught:
            place.put("r1/keys/k", [b"1"])
        assert "without -R" in caught.value.hint
        with pytest.raises(ReadOnlyStoreError):
            place.delete("k")
        place.close()


def test_a_place_below_the_login_s_home(tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    (tmp_path / "home").mkdir()
    with sshd(tmp_path / "sshd", [f"Subsystem sftp internal-sftp -d {tmp_path}/home"]) as server:
        for path, top in (("/~/anna", "anna/once.json"), ("/~", "once.json")):
            place = open_sftp_at(server, path)
            place.put("once.json", [b"{}"])
            assert "once.json" in [info.name for info in place.list("")]
            assert place.free_bytes()
            place.close()
            assert (tmp_path / "home" / top).read_bytes() == b"{}"


def test_many_creators_of_many_names(server: Sshd, tmp_path: Path) -> None:
    """Each name has one creator, whoever else tries at the same moment over the same connections."""
    place = open_sftp_at(server, tmp_path / "place")
    won: list[tuple[int, int]] = []

    def create(job: tuple[int, int]) -> None:
        with suppress(ObjectExistsError):
            place.put(f"r1/snapshots/{job[0]}", [str(job).encode()])
            won.append(job)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, [(name, writer) for name in range(20) for writer in range(8)]))
    assert sorted(name for name, _ in won) == list(range(20))
    assert all(place.get(f"r1/snapshots/{job[0]}") == str(job).encode() for job in won)
    place.close()
    assert os.listdir(tmp_path / "place/r1/tmp") == []


def test_a_store_is_opened_by_its_address(server: Sshd, tmp_path: Path) -> None:
    """By the way that the program takes."""
    place = f"sftp://{server.user}@127.0.0.1:{server.port}{tmp_path}/place"
    with pytest.raises(UsageError, match="has no option"):
        open_store(place + "?fast=1", "t", right_access(server))
    store = open_store(place, "t", right_access(server), create=True)
    store.put("once.json", [b"{}"])
    assert store.get("once.json") == b"{}"
    assert store.shown == place
    store.close()
