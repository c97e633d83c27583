"""Limits of bandwidth at each kind of store, measured at its server: smooth, and kept by all threads together.

The low side is wide: a machine with too much to do is slower, never faster.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from backupd.destination.pacing import PaceTable
from backupd.destination.stores import open_store
from backupd.model.store_access import PaceGrant, StoreAccess
from tests.support.servers import seaweedfs
from tests.support.servers.counting_relay import CountingRelay
from tests.support.servers.ftpd import Ftpd
from tests.support.servers.http_server import program
from tests.support.servers.rclone_remotes import s3_remote
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.relay import Way
from tests.support.servers.sshd import sshd
from tests.support.sftp_places import right_access

MIB = 1 << 20
RATE = 2 * MIB
SIZE = 3 * MIB
MOST = 1.2
LEAST = 0.6

Place = tuple[CountingRelay, str, StoreAccess]


@pytest.fixture
def stack() -> Generator[ExitStack, None, None]:
    """What ends servers and relays."""
    with ExitStack() as opened:
        yield opened


def _s3(folder: Path, stack: ExitStack) -> Place:
    relay = stack.enter_context(CountingRelay(stack.enter_context(seaweedfs.seaweedfs(folder)).port))
    access = StoreAccess(credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True)
    return relay, f"s3://{seaweedfs.BUCKET}/limits?endpoint=http://127.0.0.1:{relay.port}", access


def _sftp(folder: Path, stack: ExitStack) -> Place:
    server = stack.enter_context(sshd(folder))
    relay = stack.enter_context(CountingRelay(server.port))
    return relay, f"sftp://{server.user}@127.0.0.1:{relay.port}{folder}/place", right_access(server)


def _webdav(folder: Path, stack: ExitStack) -> Place:
    server = RcloneWebdav(folder)
    stack.callback(server.kill)
    relay = stack.enter_context(CountingRelay(server.port))
    return relay, server.place().replace(str(server.port), str(relay.port)), server.access()


def _rclone(folder: Path, stack: ExitStack) -> Place:
    relay = stack.enter_context(CountingRelay(stack.enter_context(seaweedfs.seaweedfs(folder)).port))
    access = StoreAccess(credentials=s3_remote(relay.port), allow_plaintext=True)
    return relay, f"rclone:sea:{seaweedfs.BUCKET}/limits", access


@pytest.mark.alone
@pytest.mark.parametrize(
    "make", [_s3, *(pytest.param(make, marks=pytest.mark.nightly) for make in (_sftp, _webdav, _rclone))]
)
def test_the_server_sees_no_more_than_the_limit(
    make: Callable[[Path, ExitStack], Place], stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of an office stands still while a backup runs, though a limit was set."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    relay, place, access = make(tmp_path, stack)
    table = PaceTable()
    stack.callback(table.close)
    member = table.allocate()
    access = msgspec.structs.replace(access, pace=PaceGrant(descriptor=table.descriptor, member=member))
    # Before the store is opened: rclone hears of a change within half a second, in which all of this would have gone.
    table.set_member(member, (0, 0), (RATE, RATE))
    store = open_store(place, "t", access, create=True)
    stack.callback(store.close)
    store.put("r1/blocks/first", [b"what is found out by a first put"])
    halves = [os.urandom(SIZE // 2) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        relay.begin()
        [*threads.map(lambda number: store.put(f"r1/blocks/{number}", [halves[number]]), range(2))]
        _check(relay, "up")
        relay.begin()
        assert [*threads.map(lambda number: store.get(f"r1/blocks/{number}"), range(2))] == halves
        _check(relay, "down")
    store.close()
    assert "rclone-limit" not in [one.name for one in threading.enumerate()], "it draws from a table that goes"


@pytest.mark.alone
def test_ftp_keeps_the_limit(tmp_path: Path) -> None:
    """Its bytes go over connections of their own: what arrives is seen in the server's folder."""
    server, table = Ftpd(tmp_path), PaceTable()
    try:
        member = table.allocate()
        table.set_member(member, (0, 0), (RATE, RATE))
        pace = PaceGrant(descriptor=table.descriptor, member=member)
        store = open_store(server.place(), "t", msgspec.structs.replace(server.access(), pace=pace), create=True)
        data = os.urandom(SIZE)
        began = time.monotonic()
        store.put("r1/blocks/a", [data])
        sent = time.monotonic()
        assert store.get("r1/blocks/a") == data
        read = time.monotonic()
        store.close()
        for seconds in (sent - began, read - sent):
            assert SIZE / RATE / MOST < seconds < SIZE / RATE / LEAST
    finally:
        server.kill()
        table.close()


def _check(relay: CountingRelay, way: Way) -> None:
    assert relay.most_in_a_second(way) <= MOST * RATE
    assert relay.average(way) >= LEAST * RATE
    assert relay.average(way) <= 1.1 * RATE
