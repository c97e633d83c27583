"""The daemon's socket under attack by clients of all kinds: it lives, answers others in time, and keeps nothing.

What single malformed requests are answered is in tests/e2e/test_hostile_clients.py; here many come at once, for long.
"""

from __future__ import annotations

import array
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from backupd.errors import BackupError
from backupd.model.status import StatusReport
from bkctl.daemon_client import DaemonClient
from tests.fault import conftest as shared
from tests.fault.conftest import Faults
from tests.support.daemon import Daemon, running_daemon
from tests.support.ordinary_user import run_as_user
from tests.support.raw_http import Raw, post, status_of

pytestmark = [pytest.mark.alone, pytest.mark.root, pytest.mark.platform("linux")]

faults = shared.faults
STATUS_SECONDS = 0.25
_MEMORY_BYTES = 20 << 20
_SHORT_REQUESTS, _SLOW, _STORM, _AT_ONCE = 3_000, 500, 10_000, 24
_PATIENCE_SECONDS = 0.02
_TEMPLATES = (
    b"GET /v1/daemon HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/jobs?limit=5&status=failed HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    b"GET /v1/jobs/j0000/events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/status HTTP/1.0\r\n\r\n",
    b"DELETE /v1/sets/none HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST /v1/backups HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
    + b'{"sets": ["no"]}'
    + b"\r\n0\r\n\r\n",
    post(b"/v1/sets", b'{"text":{"name":"home","sources":["/etc"],"to":["a"]},"dry_run":true}'),
    post(b"/v1/backups", b'{"sets":["none"],"dry_run":true,"tags":{"a":"b"}}'),
    post(b"/v1/restores", b'{"order":{"type":"restore","place":"","to":null,"selection":{"set_name":"none"}}}'),
    post(b"/v1/config/set", b'{"key":"queue.jobs_at_once","value":"x","dry_run":true}'),
)
_WORDS = (
    b"\r\n", b"\n", b"\x00", b"\xff", b"%00", b"%", b"..", b"/", b"?", b"&", b"=", b"{", b"}", b"[", b'"',
    b"\\u0000", b"-1", b"1e999", b"4294967295", b"18446744073709551616", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"HTTP/9.9", b";uid=0;", b"Connection: close\r\n",
    b"null", b"true", b" ", b"\t",
)  # fmt: skip


@dataclass
class Asker:
    """Asks for the status all the time, as a monitor would; how long each answer took."""

    daemon: Daemon
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Asker:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def _ask_on(self) -> None:
        client = DaemonClient(str(self.daemon.socket), "")
        while not self._end.wait(0.01):
            begun = time.monotonic()
            try:
                client.get("/v1/status", StatusReport)
            except BackupError as error:
                self.wrong.append(f"{error.code}: {error.message}")
            self.seconds.append(time.monotonic() - begun)

    @property
    def p99(self) -> float:
        """The 99th percentile of seconds that an answer took."""
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        made.socket.chmod(0o666)
        for path in [made.run, made.home, *made.home.parents][:-2]:
            path.chmod(path.stat().st_mode | 0o011)
        made.good("destination", "add", "a", made.home / "place")
        for _ in range(300):
            Raw(made.socket, _TEMPLATES[3]).rest()
        yield made


@pytest.fixture
def attacked(daemon: Daemon) -> Generator[Daemon, None, None]:
    """Before and after an attack: alive, its descriptors and memory as before, nothing in its log."""
    assert daemon.process is not None
    said, files, memory = len(daemon.said()), daemon.open_files(), daemon.memory_bytes()
    yield daemon
    assert daemon.process.poll() is None
    assert daemon.json("set", "list")["exit"] == 0
    _wait_for(lambda: abs(daemon.open_files() - files) <= 2)
    assert daemon.memory_bytes() - memory < _MEMORY_BYTES
    assert daemon.said()[said:] == ""


def _mutated(random: Random) -> bytes:
    """A request, or noise, with some of it changed, doubled, cut out or put in."""
    if not random.randrange(12):
        return random.randbytes(random.randrange(1, 400))
    made = bytearray(random.choice(_TEMPLATES))
    for _ in range(random.randrange(0, 5)):
        at = random.randrange(len(made) + 1)
        match random.randrange(5):
            case 0:
                made[at:at] = random.choice(_WORDS) * random.choice((1, 1, 1, 40))
            case 1:
                del made[at : at + random.randrange(1, 30)]
            case 2 if at < len(made):
                made[at] ^= 1 << random.randrange(8)
            case 3:
                made[at:at] = made[at : at + random.randrange(1, 60)]
            case _:
                made[at : at + 1] = random.randbytes(random.randrange(4))
    return bytes(made)


def _send(daemon: Daemon, request: bytes) -> bytes:
    """What the daemon answers to these bytes, after which nothing more comes."""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(daemon.socket))
        end.settimeout(20)
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            end.sendall(request)
            end.shutdown(socket.SHUT_WR)
            while data := end.recv(1 << 16):
                answer += data
        return answer


def _answers(daemon: Daemon, requests: Iterable[bytes]) -> Generator[tuple[bytes, bytes], None, None]:
    """What the daemon answers to each; some are under way at once, and one that is not whole is left after a while."""
    open_ends: deque[tuple[bytes, socket.socket]] = deque()

    def take() -> tuple[bytes, bytes]:
        sent, end = open_ends.popleft()
        with end, suppress(TimeoutError, ConnectionResetError):
            return sent, end.recv(1 << 16)
        return sent, b""

    for request in requests:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(daemon.socket))
        end.settimeout(_PATIENCE_SECONDS)
        with suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            end.sendall(request)
        open_ends.append((request, end))
        if len(open_ends) >= _AT_ONCE:
            yield take()
    while open_ends:
        yield take()


def test_mutated_requests(attacked: Daemon, faults: Faults, request: pytest.FixtureRequest) -> None:
    """A fuzzer on the socket must not end the backups of the whole machine."""
    count = request.config.getoption("--requests") or (1_000_000 if faults.is_full else _SHORT_REQUESTS)
    answers: dict[int, int] = {}
    with Asker(attacked) as asker:
        random = faults.random()
        for number, (sent, answer) in enumerate(_answers(attacked, (_mutated(random) for _ in range(count)))):
            status = status_of(answer) if answer else 0
            answers[status] = answers.get(status, 0) + 1
            assert status < 500 or status == 503, (number, sent, answer)
    print(f"{count} requests, p99 of status {asker.p99:.3f} s, answers {dict(sorted(answers.items()))}")  # noqa: T201
    assert not asker.wrong, asker.wrong[:3]
    assert asker.p99 < STATUS_SECONDS
    assert answers.get(400, 0) > count // 8
    assert answers.get(200, 0) > count // 40
    assert not attacked.good("set", "list")["sets"]


_CHUNKED = b"POST /v1/sets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LIES: dict[str, bytes] = {
    "2^32-1": post(b"/v1/sets", b"{}", said=2**32 - 1),
    "2^64": post(b"/v1/sets", b"{}", said=2**64),
    "negative": post(b"/v1/sets", b"{}", said=-1),
    "two": post(b"/v1/sets", b"{}", b"Content-Length: 100\r\n"),
    "with a sign": b"POST /v1/sets HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    "hex": b"POST /v1/sets HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
    "too short": post(b"/v1/sets", b"{}", said=200),
    "a chunk of 2^63": _CHUNKED + b"7fffffffffffffff\r\n{}",
    "a negative chunk": _CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "no last chunk": _CHUNKED + b"2\r\n{}\r\n",
    "a chunk that is longer": _CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
    "chunked twice": _CHUNKED.replace(b"chunked", b"chunked, chunked") + b"2\r\n{}\r\n0\r\n\r\n",
}  # fmt: skip


def test_lies_about_lengths(attacked: Daemon) -> None:
    """A length is a claim: memory is not taken for it, and a body cut short is never taken for whole."""
    for name, request in LIES.items():
        for _ in range(10):
            answer = _send(attacked, request)
            assert not answer or status_of(answer) in (400, 413), (name, answer)
    assert not attacked.good("set", "list")["sets"]


def test_half_closed_and_left(attacked: Daemon) -> None:
    """Clients that are killed in any moment leave nothing."""
    for number in range(300):
        request = _TEMPLATES[number % len(_TEMPLATES)]
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(attacked.socket))
        end.settimeout(20)
        with suppress(BrokenPipeError):
            end.sendall(request[: number % len(request)])
            if number % 3 == 0:
                end.shutdown(socket.SHUT_RD)
            elif number % 3 == 1:
                end.shutdown(socket.SHUT_WR)
        end.close()
    assert attacked.answers()


def test_slow_clients_by_the_hundred(attacked: Daemon) -> None:
    """500 connections that say a byte now and then keep nobody from an answer."""
    with ExitStack() as stack:
        ends = []
        for _ in range(_SLOW):
            end = stack.enter_context(socket.socket(socket.AF_UNIX))
            end.connect(str(attacked.socket))
            end.settimeout(5)
            ends.append(end)
        # Of one user's connections the idlest make room, but none in its first half second.
        time.sleep(0.6)
        with Asker(attacked) as asker:
            for at in range(4):
                for end in ends:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        end.send(_TEMPLATES[0][at : at + 1])
                time.sleep(0.3)
    print(f"p99 of status {asker.p99:.3f} s of {len(asker.seconds)}")  # noqa: T201
    assert not asker.wrong, asker.wrong[:3]
    assert asker.p99 < STATUS_SECONDS


def test_descriptors_that_are_sent_along(attacked: Daemon) -> None:
    """Each of them would stay open in the daemon until it can open no more."""
    with ExitStack() as stack:
        sent = [stack.enter_context(open(os.devnull, "rb")).fileno() for _ in range(100)]
        before = attacked.open_files()
        for _ in range(40):
            end = stack.enter_context(socket.socket(socket.AF_UNIX))
            end.connect(str(attacked.socket))
            end.settimeout(20)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sent))]
            end.sendmsg([_TEMPLATES[0]], rights)
            assert end.recv(1 << 16).startswith(b"HTTP/1.1 200")
            end.sendmsg([b"GET /v1/da"], rights)
        assert attacked.open_files() <= before + 42


def test_connect_storms(attacked: Daemon) -> None:
    """Who connects and leaves as fast as the kernel allows costs no answer to others."""

    def storm() -> None:
        """As a user who may do nothing here."""
        for number in range(_STORM):
            with socket.socket(socket.AF_UNIX) as end, suppress(BrokenPipeError, ConnectionResetError):
                end.connect(str(attacked.socket))
                if number % 2:
                    end.send(b"G")

    with Asker(attacked) as asker:
        run_as_user(storm)
    assert len(asker.seconds) > 20
    print(f"p99 of status {asker.p99:.3f} s of {len(asker.seconds)}")  # noqa: T201
    assert not asker.wrong, asker.wrong[:3]
    assert asker.p99 < STATUS_SECONDS


def test_words_in_the_path_give_no_role(attacked: Daemon) -> None:
    """Roles come from the kernel alone (docs/access.md), whatever a path or a header claims."""

    def ask() -> list[int]:
        return [
            status_of(Raw(attacked.socket, request).rest())
            for request in (
                b"GET /v1/sets;uid=0; HTTP/1.0\r\n\r\n",
                b"GET /v1/sets?uid=0 HTTP/1.0\r\n\r\n",
                b"GET /v1/sets HTTP/1.0\r\nX-Forwarded-User: root\r\nAuthorization: Basic cm9vdDo=\r\n\r\n",
                b"GET http://root@localhost/v1/sets HTTP/1.0\r\n\r\n",
                b"GET //v1/sets HTTP/1.0\r\n\r\n",
                b"GET /v1/%2e%2e/v1/sets HTTP/1.0\r\n\r\n",
            )
        ]

    assert set(run_as_user(ask)) <= {403, 404, 400}  # type: ignore[call-overload]


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
