"""What an FTP server, or whoever sits between, may answer: by a scripted one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest

from backupd.destination.contract import Opening
from backupd.destination.ftp.store import FtpStore, open_with_limits
from backupd.destination.network_door import TimeLimits
from backupd.errors import DestinationUnreachableError
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from backupd.store_errors import StoreAnswerError
from tests.support.servers.certificates import Authority
from tests.support.servers.scripted_ftp import Script, scripted_ftp

_LIMITS = TimeLimits(2.0, 2.0)


@contextmanager
def _opened(
    script: Script, folder: Path | None = None, *, is_cut: bool = False, limits: TimeLimits = _LIMITS
) -> Iterator[FtpStore]:
    """A store at a scripted server. folder: for the certificates of one with TLS."""
    authority = None if folder is None else Authority(folder)
    certificate = None if authority is None else authority.server("server")
    with scripted_ftp(script, certificate, is_cut=is_cut) as port:
        place = f"{'ftp' if authority is None else 'ftps'}://u@127.0.0.1:{port}/p"
        access = StoreAccess(
            credentials=b"secret", allow_plaintext=True, ca_file=None if authority is None else str(authority.file)
        )
        store = open_with_limits(PlaceUrl.parse(place), Opening(place, "t", access), limits)
        yield store
        store.close()


class TestAForgedEnd:
    """Whoever sits between can end a data connection without a key; only the end of TLS itself is believed."""

    @staticmethod
    def _script(size: int) -> Script:
        begins = [0]

        def script(command: str, argument: str) -> list[bytes] | None:
            if command == "REST":
                begins.append(int(argument))
                return [b"350 from there\r\n"]
            replies = {
                "SIZE": [f"213 {size}\r\n".encode()],
                "RETR": [b"0123456789"[begins[-1] :]],
                "MLSD": [b"type=file;size=3; a\r\n" * 3],
            }
            return replies.get(command)

        return script

    @pytest.mark.parametrize("is_cut", [False, True])
    def test_a_listing(self, tmp_path: Path, is_cut: bool) -> None:
        """Else blocks that are there count as missing, and a prune or a check goes by half of the truth."""
        with _opened(self._script(10), tmp_path, is_cut=is_cut) as store:
            if not is_cut:
                assert len(list(store.list(""))) == 3
                return
            with pytest.raises(DestinationUnreachableError, match="connection broke") as caught:
                list(store.list(""))
            assert caught.value.retryable

    def test_half_an_object(self, tmp_path: Path) -> None:
        """Else half a block is taken for a damaged one, and is reported as lost."""
        with _opened(self._script(20), tmp_path, is_cut=True) as store:
            with pytest.raises(DestinationUnreachableError, match="connection broke") as caught:
                store.get("r1/x")
            assert caught.value.retryable
            assert store.get("r1/x", 2, 4) == b"2345"

    def test_a_whole_object_of_a_server_that_never_ends_tls(self, tmp_path: Path) -> None:
        """Else nothing could be restored from a server that is careless in that."""
        with _opened(self._script(10), tmp_path, is_cut=True) as store:
            assert store.get("r1/x") == b"0123456789"
            assert store.get("r1/x", 4) == b"456789"


class TestRepliesOutOfStep:
    """A reply too many must not be taken for the answer to the next command."""

    def test_a_size_that_is_no_size(self) -> None:
        """Else an object that is there counts as free, and another writer's snapshot is replaced."""
        log: list[str] = []

        def script(command: str, argument: str) -> list[bytes] | None:
            log.append(command)
            if command == "SIZE" and log.count("SIZE") == 1:
                return [b"226 quota: 3 of 9 used\r\n", b"213 7\r\n"]
            return [b"213 7\r\n"] if command == "SIZE" else None

        with _opened(script) as store:
            with pytest.raises(StoreAnswerError) as caught:
                store.size("r1/x")
            assert caught.value.retryable
            assert store.size("r1/x") == 7
            assert log.count("USER") == 2

    @pytest.mark.parametrize("is_secure", [False, True])
    def test_a_second_reply_in_one_packet(self, tmp_path: Path, is_secure: bool) -> None:
        """Else every later call on that connection is answered by the reply to the one before."""

        def script(command: str, argument: str) -> list[bytes] | None:
            return {"DELE": [b"250 gone\r\n250 really\r\n"], "SIZE": [b"213 7\r\n"]}.get(command)

        with _opened(script, tmp_path if is_secure else None) as store:
            store.delete("r1/x")
            assert store.size("r1/x") == 7

    def test_a_reply_to_mlst_that_is_none(self) -> None:
        """Else a folder is taken for missing by what was said to the command before."""
        log: list[str] = []

        def script(command: str, argument: str) -> list[bytes] | None:
            log.append(command)
            if command == "MLSD":
                return []
            late = command == "MLST" and log.count("MLST") == 2
            return [b"226 quota: 3 of 9 used\r\n"] if late else None

        with _opened(script) as store:
            with pytest.raises(StoreAnswerError):
                store.top_names()
            assert list(store.top_names()) == []
            assert log.count("USER") == 2


class TestBounds:
    """What has no end takes neither all memory nor all time of the machine that is backed up."""

    def test_an_object_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else one answer takes all memory, and the daemon with all its jobs is killed."""
        monkeypatch.setattr("backupd.destination.ftp.store.MAX_OBJECT_BYTES", 1 << 20)

        def script(command: str, argument: str) -> Iterable[bytes] | None:
            return repeat(bytes(1 << 16), 17 if argument.endswith("x") else 16) if command == "RETR" else None

        with _opened(script) as store:
            with pytest.raises(StoreAnswerError, match="no end"):
                store.get("r1/x")
            assert len(store.get("r1/y")) == 1 << 20
            assert len(store.get("r1/x", 0, (1 << 20) + 9)) == (1 << 20) + 9

    def test_folders_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eight folders in each of eight levels are 19 million requests: the backup would never begin."""
        monkeypatch.setattr("backupd.destination.ftp.store.MAX_FOLDERS", 20)
        found = b"".join(b"type=dir; f%d\r\n" % number for number in range(8))
        with (
            _opened(lambda command, argument: [found] if command == "MLSD" else None) as store,
            pytest.raises(StoreAnswerError, match="folders without end"),
        ):
            list(store.list(""))

    @pytest.mark.parametrize("command", ["SIZE", "RETR", "MLSD"])
    def test_a_byte_now_and_then(self, command: str) -> None:
        """No silence is long, yet the answer never ends: the backup would hang for ever, and nobody would be told."""

        def slowly() -> Iterator[bytes]:
            for _ in range(600):
                yield b"2"
                time.sleep(0.1)

        def ask(store: FtpStore) -> None:
            calls = {"SIZE": lambda: store.size("r1/x"), "RETR": lambda: store.get("r1/x"), "MLSD": store.top_names}
            calls[command]()

        with _opened(
            lambda said, argument: slowly() if said == command else None, limits=TimeLimits(2.0, 2.0, 0.5)
        ) as store:
            began = time.monotonic()
            with pytest.raises(DestinationUnreachableError, match="does not answer") as caught:
                ask(store)
            assert time.monotonic() - began < 30, "a minute is what the server would have taken"
            assert caught.value.retryable
