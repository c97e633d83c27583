"""Limits of bandwidth as a server sees them: of running jobs, changed live, shared by several, in restores."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.servers import seaweedfs
from tests.support.servers.counting_relay import CountingRelay, counting_relay
from tests.support.slow_set import wait_for

MIB = 1 << 20
RATE = 2 * MIB
MOST = 1.2
"""Of a limit, in any second."""
LEAST = 0.6
"""Of a limit, on the whole: a machine with too much to do is slower, never faster."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[seaweedfs.SeaweedFs, None, None]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("weed")) as started:
        yield started


@pytest.fixture
def relay(server: seaweedfs.SeaweedFs) -> Generator[CountingRelay, None, None]:
    with counting_relay(server.port) as opened:
        yield opened


@pytest.fixture
def daemon(tmp_path: Path, relay: CountingRelay) -> Generator[Daemon, None, None]:
    """With the destination `off-site` behind the relay."""
    login = tmp_path / "login"
    login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
    with running_daemon(tmp_path / "home") as started:
        place = f"s3://{seaweedfs.BUCKET}/{tmp_path.name}?endpoint=http://127.0.0.1:{relay.port}"
        started.good("destination", "add", "off-site", place, "--credentials-file", login, "--allow-plaintext")
        yield started


def limit(daemon: Daemon, rate: str, mode: str = "independent", direction: str = "both") -> None:
    rules = [{"name": "house", "rate": rate, "direction": direction}]
    daemon.good("config", "set", "bandwidth", json.dumps({"mode": mode, "rules": rules}))


def make_set(daemon: Daemon, name: str, size_bytes: int, seed: int) -> Path:
    """One file that can't be made smaller."""
    source = daemon.home / f"source-{name}"
    source.mkdir()
    (source / "file").write_bytes(Random(seed).randbytes(size_bytes))
    daemon.good("set", "create", name, "--source", source, "--to", "off-site", "--jobs", "1")
    return source


@pytest.mark.alone
def test_a_limit_is_changed_in_a_running_job(daemon: Daemon, relay: CountingRelay) -> None:
    """Who raises the limit in the evening, or lowers it for a call, would wait for the job's end."""
    limit(daemon, "2 MiB/s")
    make_set(daemon, "one", 26 * MIB, 1)
    relay.begin()
    job = daemon.good("backup", "one", "--detach")["jobs"][0]["id"]
    wait_for(lambda: relay.total("up") > 4 * MIB)
    changed = time.monotonic()
    limit(daemon, "4 MiB/s")
    wait_for(lambda: relay.total("up") > 14 * MIB)
    back = time.monotonic()
    limit(daemon, "2 MiB/s")
    daemon.good("job", "wait", job)
    assert relay.most_in_a_second("up", until=changed) <= MOST * RATE
    print(relay.most_in_a_second("up", until=changed) / RATE, relay.average("up", until=changed) / RATE)
    print(relay.most_in_a_second("up", changed + 1, back) / RATE, relay.average("up", changed + 1, back) / RATE)
    print(relay.most_in_a_second("up", back + 1) / RATE, relay.average("up", back + 1) / RATE)
    print(daemon.good("job", "log", job))
