"""What only a hostile or broken S3 server answers: it must neither be believed, nor take all memory, nor hold a run."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Store
from backupd.destination.s3.condition import proof_name
from backupd.destination.s3.store import TimeLimits
from backupd.errors import DestinationError, DestinationRefusedError, DestinationUnreachableError
from backupd.store_errors import StoreAnswerError
from tests.support.servers.s3_places import impatient
from tests.support.servers.scripted_http import Script, answer, scripted

LOGIN = ("AKIAANYBODY", "any-secret-at-all")
EMPTY = answer(200, b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>')


def _page(*keys: str, more: str = "") -> bytes:
    """A page of a listing."""
    there = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    following = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return answer(200, f'<?xml version="1.0"?><ListBucketResult>{there}{following}</ListBucketResult>'.encode())


@contextmanager
def _store(script: Script, silence_seconds: float = 10) -> Iterator[Store]:
    """A place at a server with that script."""
    with scripted(script) as port:
        place = f"s3://bucket?endpoint=http://127.0.0.1:{port}"
        store = impatient(place, LOGIN, TimeLimits(5, silence_seconds))
        yield store
        store.close()


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_an_early_hint_is_no_answer() -> None:
    """Else a block that the store then refused was told as stored, and the next answers are one off."""
    asked: list[str] = []

    def script(method: str, path: str) -> bytes:
        asked.append(method)
        if len(asked) == 1:
            return EMPTY
        return EARLY + answer(507) if len(asked) % 2 == 0 else answer(404)

    calls: list[Callable[[Store], object]] = [
        lambda store: store.put("r1/keys/k", [b"1"]),
        lambda store: store.put("r1/keys/k", [bytes(1 << 20)]),
        lambda store: store.size("r1/keys/k"),
        lambda store: store.get("r1/keys/k"),
        lambda store: store.delete("r1/keys/k"),
        lambda store: list(store.list("")),
    ]
    for call in calls:
        asked.clear()
        with _store(script) as store:
            with pytest.raises(StoreAnswerError) as caught:
                call(store)
            assert caught.value.retryable
            # What followed the hint is not the answer to this.
            asked[:] = ["GET", "PUT"]
            assert store.size("r1/keys/j") is None


@pytest.mark.parametrize(("status", "region"), [(307, ""), (301, "eu-central-1"), (400, "eu-central-1")])
def test_a_redirection_is_told_and_never_followed(status: int, region: str) -> None:
    """Else a proxy that redirects everything ends a run with a fault of this program, or takes it elsewhere."""
    asked: list[str] = []
    body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
    header = f"x-amz-bucket-region: {region}" if region else "Location: http://127.0.0.1:1/x"

    def script(method: str, _path: str) -> bytes:
        asked.append(method)
        return answer(status, body if status == 400 else b"", header)

    with pytest.raises(DestinationRefusedError) as caught, _store(script):
        pass
    assert asked == ["GET"]
    assert (f"add region={region}" if region else "region=") in caught.value.hint


def test_a_proof_that_was_copied_from_elsewhere_proves_nothing() -> None:
    """Else a bucket copied to a store that is weak under a race alone has two hosts commit one snapshot."""
    copied = ["tmp/create-if-absent", proof_name("https://elsewhere", "bucket")]
    names = set(copied)

    def script(method: str, path: str) -> bytes:
        name = urlsplit(path).path.removeprefix("/bucket/")
        if method == "GET":
            return _page(*copied)
        if method == "PUT":
            is_there = name in names
            time.sleep(0.05)
            names.add(name)
            return answer(412 if is_there else 200)
        return answer(404 if method == "HEAD" else 204)

    with _store(script) as store:
        store.put("r1/keys/k", [b"1"])
        assert not store.traits.create_if_absent


def test_a_server_that_never_says_whether_it_keeps_versions_deletes_all_the_same() -> None:
    """Else no session there ever ends, and nothing is given free; one that is unwell for a moment is asked again."""
    deleted: list[str] = []
    asked: list[str] = []

    def script(method: str, path: str) -> bytes:
        if "versioning" in path:
            asked.append(path)
            return answer(500)
        if method == "DELETE":
            deleted.append(urlsplit(path).path)
            return answer(204)
        return EMPTY if method == "GET" else answer(200)

    with _store(script) as store:
        with pytest.raises(DestinationError) as caught:
            store.delete("r1/sessions/a")
        assert caught.value.retryable
        assert not deleted
        for name in ("a", "b"):
            store.delete(f"r1/sessions/{name}")
    assert deleted == ["/bucket/r1/sessions/a", "/bucket/r1/sessions/b"]
    assert len(asked) == 2


@pytest.mark.parametrize("prefix", ["r1/", ""])
def test_pages_that_give_nothing_have_an_end(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a server holds a run for days with names that are none of ours."""
    monkeypatch.setattr("backupd.destination.s3.store._MOST_BARREN_PAGES", 20)
    asked: list[str] = []

    def script(_method: str, path: str) -> bytes:
        asked.append(path)
        return _page("r1/OURS-NOT", more=str(len(asked))) if len(asked) < 100 else b""

    with _store(script) as store:
        with pytest.raises(StoreAnswerError, match="no end"):
            _ = list(store.list(prefix)) if prefix else store.top_names()
        assert 20 < len(asked) < 25


def test_pages_between_ours_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a listing ends before snapshots that stand behind many objects of others."""
    monkeypatch.setattr("backupd.destination.s3.store._MOST_BARREN_PAGES", 20)
    asked: list[str] = []

    def script(_method: str, path: str) -> bytes:
        asked.append(path)
        count = len(asked)
        return _page(f"r1/k{count}" if count % 20 == 0 else "OTHER", more=str(count) if count < 61 else "")

    with _store(script) as store:
        assert len(list(store.list("r1/"))) == 3


@pytest.mark.parametrize("status", [200, 500])
def test_a_text_without_an_end_is_not_read(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a server fills the memory of this machine by one listing or one error."""
    monkeypatch.setattr("backupd.destination.s3.answers.MOST_TEXT_BYTES", 1 << 20)
    asked: list[str] = []
    name = b"ListBucketResult" if status == 200 else b"Error"
    pieces = [b"<%s>" % name, *[b" " * (1 << 20)] * 4, b"</%s>" % name, b""]
    text = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)

    def script(_method: str, path: str) -> bytes:
        asked.append(path)
        if len(asked) != 2:
            return EMPTY
        return b"HTTP/1.1 %d x\r\nTransfer-Encoding: chunked\r\n\r\n" % status + text

    with _store(script) as store:
        with pytest.raises(StoreAnswerError) as caught:
            list(store.list(""))
        assert caught.value.retryable
        # What was left unread is not the answer to this.
        assert list(store.list("")) == []


def _accepted(listening: socket.socket) -> socket.socket | None:
    try:
        return listening.accept()[0]
    except OSError:
        return None


@pytest.mark.parametrize("is_object", [True, False])
def test_a_server_that_drips_is_left(is_object: bool) -> None:
    """Else a server that sends a byte a minute holds a run for ever: no silence is long enough to be told."""
    name = "r1/keys/k"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            is_first = True
            # The listening end is closed when the test is over.
            while (end := _accepted(listening)) is not None:
                with suppress(OSError), end:
                    end.recv(1 << 16)
                    end.sendall(
                        EMPTY.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                        if is_first
                        else b"HTTP/1.1 200 x\r\nContent-Length: 200\r\n\r\n"
                    )
                    while not is_first:
                        end.sendall(b" ")
                        time.sleep(0.1)
                is_first = False

        threading.Thread(target=drip, daemon=True).start()
        place = f"s3://bucket?endpoint=http://127.0.0.1:{listening.getsockname()[1]}"
        store = impatient(place, LOGIN, TimeLimits(5, 0.5))
        began = SystemClock().monotonic()
        with pytest.raises(DestinationUnreachableError):
            _ = store.get(name) if is_object else list(store.list(""))
        assert SystemClock().monotonic() - began < 10
        store.close()
