"""What is small and stands for something endless is refused within a second of CPU and with less than 64 MiB.

Else one object, request or file takes the machine's memory, and with it whatever else runs there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupd.model.orders import RestoreOrder, Selection, Unlock
from backupd.seal.slot import secret_to_text
from tests.hostile.bombs import BOMBS, MOST_SECONDS, TAKEN
from tests.hostile.watched import MOST_BYTES
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import TOP, Machine
from tests.support.raw_http import Raw, post, status_of
from tests.support.small_repository import Node, SmallRepository, directory

_TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each bomb."""
    command = [sys.executable, "-m", "tests.hostile.bombs", str(tmp_path_factory.mktemp("bombs"))]
    done = subprocess.run(command, cwd=TOP, capture_output=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", BOMBS)
def test_is_refused_at_once(name: str, outcomes: dict[str, str]) -> None:
    """A restore that is killed for its memory, a daemon that answers nobody any more."""
    if name in TAKEN:
        assert outcomes[name] == "went well"
    else:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", outcomes[name]), outcomes[name]


def test_a_hole_of_an_exbibyte_is_restored_or_told(tmp_path: Path) -> None:
    """A disk image that its owner made so, or an entry that somebody wrote: the other files come back."""
    small = SmallRepository(tmp_path / "place")
    hole = Node(b"x" * 4096, size=1 << 60, extents=[(0, 4096)])
    small.add(directory(hole=hole, other=Node(b"other")))
    unlock = Unlock(secret=secret_to_text(small.secret).encode())
    target = os.fsencode(tmp_path / "out")
    began = time.monotonic()
    order = RestoreOrder(place=str(tmp_path / "place"), unlock=unlock, selection=Selection(), to=target)
    done = Machine(tmp_path / "home").run(order).done
    assert time.monotonic() - began < 20
    assert (tmp_path / "out" / "other").read_bytes() == b"other"
    is_whole = (tmp_path / "out" / "hole").exists() and (tmp_path / "out" / "hole").stat().st_size == 1 << 60
    assert is_whole is (done.exit_code == 0), done


def _chunks() -> bytes:
    """More than may ever lie in memory."""
    return (b"10000\r\n" + b"[" * 0x10000 + b"\r\n") * 2000


_ALIASES = {"name": "x", "text": "a: &a [x]\nb: [" + "*a," * 100_000 + "]"}
# Each is made where it is sent: some are as large as a hundred tests of this process.
_REQUESTS: dict[str, tuple[Callable[[], bytes], int]] = {
    "chunks without end": (
        lambda: b"POST /v1/backups HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunks(), 413
    ),
    "a length of 2^60": (
        lambda: b"POST /v1/backups HTTP/1.1\r\nHost: x\r\nContent-Length: 1152921504606846976\r\n\r\n" + _chunks(), 413
    ),
    "a head without end": (
        lambda: b"GET /v1/daemon HTTP/1.1\r\nX: " + _chunks().replace(b"\r\n", b"[["), 400
    ),
    "headers without end": (lambda: b"GET /v1/daemon HTTP/1.1\r\n" + b"X: x\r\n" * 20_000_000, 400),
    "4 MiB of brackets": (lambda: post(b"/v1/backups", b'{"sets":' + b"[" * ((4 << 20) - 100)), 400),
    "a hundred thousand aliases": (
        lambda: post(b"/v1/config/apply", json.dumps({"documents": [_ALIASES]}).encode()), 400
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One that has answered already."""
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        assert status_of(Raw(made.socket, post(b"/v1/backups", b"{}")).rest()) == 400
        yield made


@pytest.mark.parametrize("name", _REQUESTS)
def test_a_request_without_end_is_refused(name: str, daemon: Daemon) -> None:
    """Anyone at the socket could take the daemon's memory, or keep it from answering others."""
    make, status = _REQUESTS[name]
    request = make()
    (Path("/proc") / str(_pid(daemon)) / "clear_refs").write_text("5")
    memory, seconds = _peak_bytes(daemon), _cpu_seconds(daemon)
    with Raw(daemon.socket) as client:
        client.send_what_goes(request)
        assert status_of(client.head()) == status
    assert _peak_bytes(daemon) - memory < MOST_BYTES
    assert _cpu_seconds(daemon) - seconds < MOST_SECONDS


def _pid(daemon: Daemon) -> int:
    assert daemon.process is not None
    return daemon.process.pid


def _peak_bytes(daemon: Daemon) -> int:
    status = (Path("/proc") / str(_pid(daemon)) / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _cpu_seconds(daemon: Daemon) -> float:
    fields = (Path("/proc") / str(_pid(daemon)) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
