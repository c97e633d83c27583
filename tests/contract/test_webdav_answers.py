"""What a WebDAV server may answer, by a scripted one: seldom answers, and those of a hostile one."""

from __future__ import annotations

import base64
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from backupd.destination.contract import Opening
from backupd.destination.network_door import TimeLimits
from backupd.destination.webdav.listing import Listing, below
from backupd.destination.webdav.store import WebdavStore, open_with_limits
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from backupd.store_errors import (
    NameTooLongError,
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreBusyError,
    StoreLoginError,
)
from tests.support.servers.scripted_http import FOLDER, Script, answer, listing, scripted

PASSWORD = "correct-horse-7"
_LIMITS = TimeLimits(2.0, 2.0)
ROOT = listing(("/p/", FOLDER))


@contextmanager
def _opened(script: Script, limits: TimeLimits = _LIMITS) -> Iterator[WebdavStore]:
    """A store whose folder is there, at a server that answers everything else by a script."""

    def whole(method: str, path: str) -> bytes | Iterable[bytes]:
        return ROOT if (method, path) == ("PROPFIND", "/p/") else script(method, path)

    with scripted(whole) as port:
        place = f"webdav://u@127.0.0.1:{port}/p"
        access = StoreAccess(credentials=PASSWORD.encode(), allow_plaintext=True)
        store = open_with_limits(PlaceUrl.parse(place), Opening(place, "t", access), limits)
        yield store
        store.close()


def _always(said: bytes) -> Script:
    return lambda method, path: said


class TestGet:
    """Bytes are those that were asked for, or an error."""

    def test_a_server_without_ranges_is_cut(self) -> None:
        with _opened(_always(answer(200, b"0123456789"))) as store:
            assert store.get("r1/x", 3, 4) == b"3456"
            assert store.get("r1/x", 8) == b"89"
            assert store.get("r1/x", 20, 4) == b""

    def test_another_range_than_was_asked_for(self) -> None:
        """Else bytes of one place are taken for those of another."""
        with (
            _opened(_always(answer(206, b"3456", "Content-Range: bytes 2-5/10"))) as store,
            pytest.raises(StoreAnswerError),
        ):
            store.get("r1/x", 3, 4)

    def test_more_than_was_asked_for(self) -> None:
        with _opened(_always(answer(206, b"3456789", "Content-Range: bytes 3-9/10"))) as store:
            assert store.get("r1/x", 3, 4) == b"3456"

    @pytest.mark.parametrize("length", [None, 8])
    def test_a_body_that_breaks_off(self, length: int | None) -> None:
        """A short answer would be taken for a damaged block."""
        said = answer(200, b"0123456789", "Connection: close")[:-5]
        with _opened(_always(said)) as store, pytest.raises(DestinationUnreachableError) as caught:
            store.get("r1/x", 0, length)
        assert caught.value.retryable

    @pytest.mark.parametrize("status", [101, 102, 103, 199])
    def test_an_answer_before_the_answer(self, status: int) -> None:
        """Else the next object that is read has the bytes of the one before: a restore writes them under its name."""

        def script(method: str, path: str) -> Iterator[bytes]:
            if path.endswith("a"):
                yield f"HTTP/1.1 {status} wait\r\n\r\n".encode()
                time.sleep(0.2)
            yield answer(200, b"bytes of " + path[-1:].encode())

        with _opened(script) as store:
            with pytest.raises(StoreAnswerError) as caught:
                store.get("r1/a")
            assert caught.value.retryable
            assert store.get("r1/b") == b"bytes of b"

    @pytest.mark.parametrize("length", [None, 8])
    def test_a_body_of_unknown_length(self, length: int | None) -> None:
        """Half of one looks the same as all of it: a restore would take a block that was cut for a damaged one."""
        said = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234"
        with _opened(_always(said)) as store, pytest.raises(StoreAnswerError, match="length"):
            store.get("r1/x", 0, length)

    def test_an_object_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else one answer takes all memory, and the daemon with all its jobs is killed."""
        monkeypatch.setattr("backupd.destination.webdav.http.MAX_OBJECT_BYTES", 1 << 20)
        piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"

        def script(method: str, path: str) -> bytes:
            if path.endswith("length"):
                return answer(200)[:-5] + b"9" * 12 + b"\r\n\r\n" + bytes(1 << 16)
            count = 17 if path.endswith("long") else 16
            return b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * count + b"0\r\n\r\n"

        with _opened(script) as store:
            for name in ("r1/length", "r1/long"):
                with pytest.raises(StoreAnswerError, match="without end"):
                    store.get(name)
            assert len(store.get("r1/short")) == 1 << 20

    @pytest.mark.parametrize(
        "begin", [b"HTTP/1.1 200 OK\r\nX: ", b"", answer(200)[:-5] + b"99\r\n\r\n", b"HTTP/1.1 100 x\r\n\r\n" * 50]
    )
    def test_a_byte_now_and_then(self, begin: bytes) -> None:
        """No silence is long, yet the answer never ends: the backup would hang for ever, and nobody would be told."""

        def script(method: str, path: str) -> Iterator[bytes]:
            yield begin
            for _ in range(600):
                yield begin if begin[9:10] == b"1" else b"z"
                time.sleep(0.1)

        began = time.monotonic()
        with (
            _opened(script, TimeLimits(2.0, 2.0, 0.5)) as store,
            pytest.raises(DestinationUnreachableError, match="does not answer") as caught,
        ):
            store.get("r1/x")
        assert time.monotonic() - began < 30, "a minute is what the server would have taken"
        assert caught.value.retryable

    def test_a_connection_that_closes_without_an_answer(self) -> None:
        with _opened(_always(b"")) as store, pytest.raises(DestinationUnreachableError):
            store.get("r1/x")

    def test_what_is_no_http(self) -> None:
        with _opened(_always(b"220 ftp.example.org ready\r\n")) as store, pytest.raises(StoreAnswerError) as caught:
            store.get("r1/x")
        assert caught.value.hint

    def test_an_answer_that_never_comes(self) -> None:
        began = time.monotonic()
        with _opened(_always(b"HTTP/1.1 200 OK\r\n")) as store, pytest.raises(DestinationUnreachableError):
            store.get("r1/x")
        assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (403, DestinationRefusedError, False),
        (404, ObjectMissingError, False),
        (302, StoreAnswerError, True),
        (401, StoreLoginError, False),
        (413, DestinationRefusedError, False),
        (414, NameTooLongError, False),
        (423, StoreBusyError, True),
        (429, StoreBusyError, True),
        (500, DestinationError, True),
        (503, StoreBusyError, True),
        (507, DestinationFullError, False),
        (200, StoreAnswerError, True),
    ],
)
def test_each_status_has_its_meaning(status: int, kind: type[DestinationError], retryable: bool) -> None:
    with _opened(_always(answer(status))) as store:
        with pytest.raises(kind) as caught:
            store.size("r1/x") if status == 200 else store.get("r1/x")
        assert type(caught.value) is kind
        assert caught.value.retryable is retryable
        assert caught.value.hint or kind is ObjectMissingError


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("99999999999999999", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 2320 07:28:00 GMT", 3600.0),
        ("soon", None),
        ("-5", None),
    ],
)
def test_when_to_come_again(said: str, seconds: float | None) -> None:
    """A server that is asked again too soon shuts the door for longer."""
    with _opened(_always(answer(503, b"", f"Retry-After: {said}"))) as store, pytest.raises(StoreBusyError) as caught:
        store.get("r1/x")
    assert caught.value.context.get("retry_after_seconds") == seconds


class TestPut:
    """An object has its name when it is whole, or not at all."""

    @staticmethod
    def _script(log: list[str], **replies: Callable[[str], bytes]) -> Script:
        """Folders are there, nothing else; temporary objects have three bytes."""

        def script(method: str, path: str) -> bytes:
            log.append(f"{method} {path}")
            if method in replies:
                return replies[method](path)
            if method == "PROPFIND":
                if path.endswith("/"):
                    return listing((path, FOLDER))
                size = "2" if path.endswith("-2") else "1" if path.endswith("-1") else "3"
                return (
                    listing((path, f"<D:getcontentlength>{size}</D:getcontentlength>"))
                    if "tmp" in path
                    else answer(404)
                )
            return answer(201)

        return script

    def test_a_move_that_keeps_taken_names(self) -> None:
        log: list[str] = []
        moves = iter([412, 201, 412])
        with _opened(self._script(log, MOVE=lambda path: answer(next(moves)))) as store:
            store.put("r1/a/x", [b"abc"])
            with pytest.raises(ObjectExistsError):
                store.put("r1/a/x", [b"abc"])
        assert "PROPFIND /p/r1/a/x" not in log
        assert [line for line in log if line.startswith("DELETE")][-1] == "DELETE /p/r1/tmp/t-4"

    def test_a_move_that_replaces_is_not_relied_on(self) -> None:
        """Then each name is looked for before, as well as that goes."""
        log: list[str] = []
        with _opened(self._script(log, MOVE=lambda path: answer(204))) as store:
            store.put("r1/a/x", [b"abc"])
        assert "PROPFIND /p/r1/a/x" in log
        assert store.traits.create_if_absent is False

    def test_a_body_that_was_cut_gets_no_name(self) -> None:
        """Servers behind proxies store half of it and say 201."""
        log: list[str] = []
        said = self._script(log, MOVE=lambda path: answer(412 if path.endswith("-1") else 201))
        with _opened(said) as store, pytest.raises(StoreAnswerError, match="of 9 bytes 3"):
            store.put("r1/a/x", [b"123456789"])
        assert [line for line in log if line.startswith("MOVE")] == ["MOVE /p/r1/tmp/t-1"]
        assert store.may_leave_temporaries is False

    def test_a_move_whose_answer_is_lost(self) -> None:
        """It may have been done: that is for who tries again to find out, not told as another writer's object."""
        log: list[str] = []
        said = self._script(log, MOVE=lambda path: answer(412) if path.endswith("-1") else b"")
        with _opened(said) as store, pytest.raises(DestinationUnreachableError) as caught:
            store.put("r1/a/x", [b"abc"])
        assert caught.value.retryable

    def test_a_move_that_a_proxy_repeats(self) -> None:
        """It was done, and then answered with 404: told as a missing object it would end the backup for good."""
        said = self._script([], MOVE=lambda path: answer(412 if path.endswith("-1") else 404))
        with _opened(said) as store, pytest.raises(DestinationUnreachableError) as caught:
            store.put("r1/a/x", [b"abc"])
        assert caught.value.retryable

    @pytest.mark.parametrize(("status", "may_leave"), [(404, True), (204, False)])
    def test_a_temporary_name_that_may_come_later(self, status: int, may_leave: bool) -> None:
        """A slow server makes it after DELETE found nothing: nobody would look for it, and its space were lost."""
        said = self._script(
            [],
            MOVE=lambda path: answer(412),
            PUT=lambda path: b"" if path.endswith("-3") else answer(201),
            DELETE=lambda path: answer(status if path.endswith("-3") else 204),
        )
        with _opened(said) as store, pytest.raises(DestinationUnreachableError):
            store.put("r1/a/x", [b"abc"])
        assert store.may_leave_temporaries is may_leave

    def test_a_place_that_takes_nothing(self) -> None:
        with _opened(self._script([], PUT=lambda path: answer(405))) as store, pytest.raises(ReadOnlyStoreError):
            store.put("r1/a/x", [b"abc"])


class TestListings:
    """XML of strangers is read with bounds."""

    @pytest.mark.parametrize(
        "body",
        [
            b'<!DOCTYPE a><D:multistatus xmlns:D="DAV:"/>',
            b'<!DOCTYPE a [<!ENTITY b "c">]><D:multistatus xmlns:D="DAV:"/>',
            b"<html><body>hello</body></html>",
            b"no xml at all",
            b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>'
            + b"x" * 10000
            + b"</D:href></D:response></D:multistatus>",
            b'<D:multistatus xmlns:D="DAV:">' + b"<a>" * 100 + b"</a>" * 100 + b"</D:multistatus>",
            b'<D:multistatus xmlns:D="DAV:"><D:response>',
            b"",
        ],
    )
    def test_what_is_no_listing(self, body: bytes) -> None:
        with _opened(_always(answer(207, body))) as store, pytest.raises(StoreAnswerError) as caught:
            list(store.list("r1/"))
        assert caught.value.hint

    def test_names_that_lead_elsewhere_are_passed_over(self) -> None:
        size = "<D:getcontentlength>5</D:getcontentlength>"
        hrefs = [
            "/p/r1/a",
            "/p/r1/../x",
            "/p/r1/..",
            "/p/r1/%2e%2e/x",
            "/p/r1/b%0ac",
            "/p/r1/c%00",
            "/p/r1/d%2Fe",
            "/else/f",
        ]
        hrefs += ["/p/r1/G", "http://evil.example/p/r1/h", "/p/r1/sub/i", "/p/r1/%ff", "//evil/p/r1/j", "", "/p/r1//k"]
        said = listing(("/p/r1/", FOLDER), *((href, size) for href in hrefs))
        with _opened(_always(said)) as store:
            assert sorted(info.name for info in store.list("r1/")) == ["r1/a", "r1/h", "r1/j"]

    def test_folders_in_folders_without_end(self) -> None:
        def script(method: str, path: str) -> bytes:
            return listing((path, FOLDER), (path + "deeper/", FOLDER))

        with _opened(script) as store:
            assert list(store.list("r1/")) == []

    def test_a_proxy_that_names_another_folder(self) -> None:
        reader = Listing()
        size = "<D:getcontentlength>5</D:getcontentlength>"
        reader.feed(listing(("/inner/r1/", FOLDER), ("/inner/r1/a", size)).partition(b"\r\n\r\n")[2])
        assert [*below(reader.close(), "/p/r1")] == ["a"]

    def test_an_entry_that_is_told_as_missing_is_none(self) -> None:
        """Some servers answer 207 and say 404 inside: taken for an object it would never be stored."""
        body = (
            b'<multistatus xmlns="DAV:"><response><href>/p/r1/x</href><status>HTTP/1.1 404 Not Found</status>'
            b"</response></multistatus>"
        )
        with _opened(_always(answer(207, body))) as store:
            assert store.size("r1/x") is None

    def test_properties_that_were_not_found_count_for_nothing(self) -> None:
        """The status stands behind them."""
        reader = Listing()
        reader.feed(
            b'<multistatus xmlns="DAV:"><response><href>/a</href><propstat><prop><getcontentlength>7</getcontentlength>'
            b"</prop><status>HTTP/1.1 200 OK</status></propstat><propstat><prop><resourcetype><collection/>"
            b"</resourcetype></prop><status>HTTP/1.1 404 Not Found</status></propstat></response></multistatus>"
        )
        (entry,) = reader.close()
        assert (entry.is_folder, entry.size_bytes, entry.free_bytes) == (False, 7, None)

    def test_wide_folders_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eight folders in each of eight levels are 19 million requests: the backup would never begin."""
        monkeypatch.setattr("backupd.destination.webdav.store.MAX_FOLDERS", 20)

        def script(method: str, path: str) -> bytes:
            return listing((path, FOLDER), *((f"{path}{number}/", FOLDER) for number in range(8)))

        with _opened(script) as store, pytest.raises(StoreAnswerError, match="folders without end"):
            list(store.list("r1/"))


@pytest.mark.parametrize(
    "pattern", ["{}\r\n\r\n", "HTTP/1.1 {} x\r\n\r\n", "HTTP/{} 200 x\r\n\r\n", "HTTP/1.1 200 x\r\n{}: 1\r\n\r\n"]
)
def test_a_server_that_repeats_the_login(pattern: str) -> None:
    """Base64 hides nothing: whoever reads the log would have the password."""
    token = base64.b64encode(f"u:{PASSWORD}".encode()).decode()
    for word in (token, f"Basic {token}", token[:30]):
        with _opened(_always(pattern.format(word).encode())) as store:
            with pytest.raises(DestinationError) as caught:
                store.get("r1/x")
            shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint
            assert token[:20] not in shown
