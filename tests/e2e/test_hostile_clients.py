"""What clients can do to a daemon: nothing. Each is answered with a typed error or sent away, others go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.ordinary_user import run_as_user
from tests.support.raw_http import Raw, body_of, post, status_of

pytestmark = pytest.mark.alone

_A_USER = 64
_GET = b"GET /v1/daemon HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d"), settings="access: {auditor: ['65534']}\n") as made:
        _let_everybody_reach(made)
        (made.home / "src").mkdir()
        (made.home / "src" / "a").write_bytes(os.urandom(1 << 20))
        made.good("set", "create", "home", "--source", made.home / "src", "--to", made.home / "repo")
        yield made


@pytest.fixture(scope="module", autouse=True)
def slow(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Daemon, float, list[Raw]], None, None]:
    """Clients of another daemon that never come to an end, since when: silent, half a head, half a body, no end."""
    words = (b"", b"GET /v1/da", post(b"/v1/sets", b"{}", said=100), post(b"/v1/sets", b"{}", said=9 << 30))
    with running_daemon(tmp_path_factory.mktemp("s")) as other, ExitStack() as stack:
        begun = time.monotonic()
        yield other, begun, [stack.enter_context(Raw(other.socket, word)) for word in words]


@pytest.fixture
def waiting_job(daemon: Daemon) -> Generator[str, None, None]:
    """A running job that goes on only at the end of the test: its password comes from a pipe."""
    pipe = daemon.home / "password"
    if not pipe.exists():
        os.mkfifo(pipe, 0o600)
        words = ("--encryption", "password", "--password-file", pipe)
        daemon.good("set", "create", "waits", "--source", daemon.home / "src", "--to", daemon.home / "other", *words)
    job: str = daemon.good("backup", "waits", "--detach")["jobs"][0]["id"]
    yield job
    pipe.write_text("a password")
    assert daemon.json("job", "wait", job)["exit"] == 0


MALFORMED: dict[str, tuple[bytes, int]] = {
    "noise": (b"\x00\xff\x13noise\r\n\r\n", 400),
    "TLS": (bytes.fromhex("160301020001000103"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a path of 20 kB": (b"GET /" + b"a" * 20_000 + b" HTTP/1.0\r\n\r\n", 400),
    "a header of 20 kB": (b"GET / HTTP/1.0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 400),
    "500 headers": (b"GET / HTTP/1.0\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(500)) + b"\r\n", 400),
    "a negative length": (b"POST /v1/sets HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
    "two lengths": (b"POST /v1/sets HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "length and chunks": (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bad chunks": (b"POST /v1/sets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "another expectation": (b"GET /v1/sets HTTP/1.1\r\nHost: x\r\nExpect: more\r\nConnection: close\r\n\r\n", 417),
    "no path": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    "another method": (post(b"/v1/daemon", b"{}"), 405),
    "a body of 5 MB": (post(b"/v1/sets", b"x" * 5_000_000), 413),
    "a packed body": (post(b"/v1/sets", b"{}", b"Content-Encoding: gzip\r\n"), 400),
    "100,000 brackets": (post(b"/v1/sets", b'{"text":' + b"[" * 100_000), 400),
    "no JSON": (post(b"/v1/sets", b'{"text": nope}'), 400),
    "an unknown name, then no JSON": (post(b"/v1/sets", b'{"txt": 1, "dry_run": nope}'), 400),
    "no UTF-8": (post(b"/v1/sets", b'{"text": "\xff"}'), 400),
    "another type": (post(b"/v1/sets", b"[]"), 400),
    "half a surrogate pair": (post(b"/v1/sets", b'{"text":{"name":"\\ud800","sources":["/etc"],"to":["a"]}}'), 400),
    "NUL in a name": (post(b"/v1/sets", b'{"text":{"name":"a\\u0000","sources":["/etc"],"to":["a"]}}'), 400),
    "NUL in a place": (post(b"/v1/destinations", b'{"text":{"name":"a","place":"/x\\u0000y"}}'), 400),
    "more than 64 bits": (post(b"/v1/backups", b'{"all":true,"stop_after_seconds":%d}' % 10**30), 400),
    "below zero": (post(b"/v1/backups", b'{"all":true,"stop_after_seconds":-1}'), 400),
    "an order that is none": (post(b"/v1/questions", b'{"order":{"type":"x","place":""}}'), 400),
    "a question that is a job": (
        post(b"/v1/questions", b'{"order":{"type":"restore","place":"","to":null,"selection":{}}}'),
        400,
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_does_not_fit_is_refused_with_a_typed_error(daemon: Daemon, name: str) -> None:
    """A script must learn what it did wrong, and the daemon must not fall over it."""
    request, status = MALFORMED[name]
    answer = Raw(daemon.socket, request).rest()
    assert status_of(answer) == status
    _check_error(body_of(answer))


QUERIES: dict[bytes, int] = {
    b"/v1/jobs?limit=0": 400,
    b"/v1/jobs?limit=-1": 400,
    b"/v1/jobs?limit=99999999999999999999999": 400,
    b"/v1/jobs?limit=1&limit=2": 400,
    b"/v1/jobs?limt=1": 400,
    b"/v1/jobs?after=1": 400,
    b"/v1/jobs?after=9223372036854775808-j0000": 400,
    b"/v1/jobs?after=1-%ED%A0%80": 400,
    b"/v1/jobs?status=nope": 400,
    b"/v1/jobs?status=%ED%A0%80": 400,
    b"/v1/jobs?set=%00": 404,
    b"/v1/sets/%00": 404,
    b"/v1/sets/..%2F..%2Fetc": 404,
    b"/v1/sets/" + b"a" * 3000: 404,
    b"/v1/jobs/j%00": 404,
    b"/v1/jobs/%FF%FE": 404,
    b"/v1/jobs/%ED%A0%80/log?limit=1": 404,
    b"/%": 404,
    b"//v1/daemon": 404,
}


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path[:40].decode())
def test_odd_paths_and_numbers_are_refused(daemon: Daemon, path: bytes) -> None:
    """An id with a slash, a number that no database takes: neither may reach anything."""
    answer = Raw(daemon.socket, b"GET " + path + b" HTTP/1.0\r\n\r\n").rest()
    assert status_of(answer) == QUERIES[path]
    _check_error(body_of(answer))


NEAREST: dict[str, tuple[bytes, bytes, str]] = {
    "dry_rum": (b"/v1/sets", b'{"text":{"name":"x","sources":["/etc"],"to":["a"]},"dry_rum":true}', "dry_run"),
    "sourcs": (b"/v1/sets", b'{"text":{"name":"x","sourcs":["/etc"],"to":["a"]}}', "sources"),
    "set_nam": (
        b"/v1/restores",
        b'{"order":{"type":"restore","place":"","to":null,"selection":{"set_nam":"x"}}}',
        "set_name",
    ),
    "incompleet": (
        b"/v1/questions",
        b'{"order":{"type":"snapshot_list","place":"","incompleet":true}}',
        "incomplete",
    ),
}


@pytest.mark.parametrize("name", NEAREST)
def test_an_unknown_field_is_refused_with_the_nearest_right_name(daemon: Daemon, name: str) -> None:
    """`dry_rum: true` passed over would do for real what was meant as a rehearsal."""
    path, body, right = NEAREST[name]
    answer = Raw(daemon.socket, post(path, body)).rest()
    assert status_of(answer) == 400
    error = _check_error(body_of(answer))
    assert f"'{name}'" in error["message"]
    assert error["hint"] == f"did you mean {right}?"


def test_pipelined_requests_are_answered_in_turn_and_cost_no_memory(daemon: Daemon) -> None:
    """Ten thousand requests in one breath from a client that reads none of the answers must not fill the memory."""
    ends = _GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert Raw(daemon.socket, _GET * 5 + ends).rest().count(b"HTTP/1.1 200") == 6
    before = daemon.memory_bytes()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Raw(daemon.socket)).send_what_goes(_GET * 10_000)
        assert daemon.json("destination", "list")["exit"] == 0
        assert daemon.memory_bytes() - before < 30 << 20


def test_many_large_bodies_cost_little_memory(daemon: Daemon) -> None:
    """64 bodies of 4 MiB that never end may not be held all at once."""
    before = daemon.memory_bytes()
    with ExitStack() as stack:
        for _ in range(_A_USER - 4):
            one = stack.enter_context(Raw(daemon.socket, post(b"/v1/sets", b"", said=4 << 20)))
            one.send_what_goes(b" " * (4 << 20))
        assert daemon.json("set", "list")["exit"] == 0
        assert daemon.memory_bytes() - before < 60 << 20


def test_a_flood_of_idle_connections_does_not_keep_their_user_out(daemon: Daemon) -> None:
    """Root's forgotten connections must not lock root's own `bkctl` out: the idlest makes room."""
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(Raw(daemon.socket, b"GET /v1/dae"))
        time.sleep(0.6)
        begun = time.monotonic()
        assert daemon.json("set", "list")["exit"] == 0
        assert time.monotonic() - begun < 5


@pytest.mark.root
def test_a_flood_of_one_user_does_not_disturb_another(daemon: Daemon) -> None:
    """Who may reach the socket may not keep others from it."""

    def flood_and_ask() -> list[int]:
        """As the ordinary user: hold far too many connections, count those that were refused."""
        with ExitStack() as stack:
            held = [stack.enter_context(Raw(daemon.socket, b"GET /")) for _ in range(3 * _A_USER)]
            refused = [one.rest(0.05) for one in held[_A_USER : _A_USER + 3]]
            return [status_of(answer) for answer in refused]

    ours = Raw(daemon.socket, b"GET /v1/daemon HTTP/1.0\r\n")
    assert run_as_user(flood_and_ask) == [503] * 3
    ours.send(b"\r\n")
    assert status_of(ours.rest()) == 200


def test_connections_that_are_all_at_work_are_not_sent_away(daemon: Daemon, waiting_job: str) -> None:
    """64 people who watch their backups stay; the 65th hears that and may try again."""
    follow = f"GET /v1/jobs/{waiting_job}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with ExitStack() as stack:
        watching = [stack.enter_context(Raw(daemon.socket, follow)) for _ in range(_A_USER)]
        assert all(one.head().startswith(b"HTTP/1.1 200") for one in watching)
        time.sleep(0.6)
        answer = Raw(daemon.socket, _GET).rest()
        assert status_of(answer) == 503
        error = _check_error(body_of(answer))
        assert (error["code"], error["retryable"]) == ("daemon.busy", True)
        assert not any(one.is_closed() for one in watching)
    assert _comes(lambda: status_of(Raw(daemon.socket, b"GET /v1/daemon HTTP/1.0\r\n\r\n").rest()) == 200)


@pytest.mark.root
def test_followers_that_leave_leave_nothing_behind(daemon: Daemon, waiting_job: str) -> None:
    """A monitor that asks again and again must not fill the daemon with its ghosts."""
    follow = f"GET /v1/jobs/{waiting_job}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    def come_and_go(times: int) -> None:
        for _ in range(times):
            with Raw(daemon.socket, follow) as one:
                one.head()

    come_and_go(50)
    before, files = daemon.memory_bytes(), daemon.open_files()
    come_and_go(1000)
    assert daemon.memory_bytes() - before < 4 << 20
    assert _comes(lambda: daemon.open_files() <= files)


def test_a_follower_that_never_reads_disturbs_no_job(daemon: Daemon) -> None:
    """Somebody's stopped terminal may not hold a backup up."""
    job = daemon.good("backup", "home", "--detach")["jobs"][0]["id"]
    follow = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Raw(daemon.socket, follow))
        assert daemon.json("job", "wait", job)["exit"] == 0


def test_who_never_ends_is_sent_away(slow: tuple[Daemon, float, list[Raw]]) -> None:
    """A connection costs a place of its user's; head and body have ten seconds each."""
    other, begun, clients = slow
    assert other.json("set", "list")["exit"] == 0
    time.sleep(max(0.0, begun + 11 - time.monotonic()))
    silent, half, short, endless = clients
    assert silent.rest(0.5) == b""
    assert half.rest(0.5) == b""
    assert status_of(short.rest(0.5)) == 400
    assert status_of(endless.rest(0.5)) == 400


def test_the_daemon_answers_at_once_while_a_backup_runs_among_slow_clients(daemon: Daemon) -> None:
    """`status` must answer whoever else is there. Figures: tests/bench/api_latency.py."""
    (daemon.home / "src" / "b").write_bytes(os.urandom(48 << 20))
    job = daemon.good("backup", "home", "--detach")["jobs"][0]["id"]
    taken: list[float] = []
    with ExitStack() as stack:
        for word in (b"", b"GET /v1/da", post(b"/v1/sets", b"{}", said=100), b"\x16\x03\x01"):
            for _ in range(15):
                stack.enter_context(Raw(daemon.socket, word))
        while len(taken) < 200:
            begun = time.monotonic()
            assert status_of(Raw(daemon.socket, b"GET /v1/daemon HTTP/1.0\r\n\r\n").rest()) == 200
            taken.append(time.monotonic() - begun)
    assert sorted(taken)[len(taken) // 2] < 0.1
    assert max(taken) < 1
    assert daemon.json("job", "wait", job)["exit"] == 0


def test_after_all_that_the_log_is_short_and_tells_of_no_defect(daemon: Daemon) -> None:
    """Clients must not be able to fill the disk with what they do wrong."""
    assert "Traceback" not in daemon.said()
    assert len(daemon.said()) < 10_000


def _check_error(document: Any) -> dict[str, Any]:
    assert set(document) == {"exit", "error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "hint", "retryable", "context"}
    assert error["message"]
    assert isinstance(document["exit"], int)
    return error


def _let_everybody_reach(daemon: Daemon) -> None:
    path: Path = daemon.socket
    path.chmod(0o666)
    while path != Path("/tmp") and path.parent != path:
        path = path.parent
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)


def _comes(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in a while."""
    end = time.monotonic() + 5
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
