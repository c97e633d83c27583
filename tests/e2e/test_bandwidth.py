"""Limits of bandwidth as a server sees them: of running jobs, changed live, shared by several, in restores."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine
from tests.support.servers.counting_relay import CountingRelay
from tests.support.servers.sshd import Sshd, fingerprint, sshd
from tests.support.slow_set import wait_for

MIB = 1 << 20
RATE = 2 * MIB
MOST = 1.2
"""Of a limit, in any second."""
LEAST = 0.6
"""Of a limit, on the whole: a machine with too much to do is slower, never faster."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(scope="module")
def relay(server: Sshd) -> Generator[CountingRelay, None, None]:
    with CountingRelay(server.port) as opened:
        yield opened


@pytest.fixture(scope="module")
def opens(server: Sshd) -> tuple[str | Path, ...]:
    """The words that open a place behind the relay."""
    return ("--credentials-file", server.login_key, "--host-key", fingerprint(server.host_key))


@pytest.fixture(scope="module")
def daemon(
    server: Sshd, relay: CountingRelay, opens: tuple[str | Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Generator[Daemon, None, None]:
    """With the destination `off-site` behind the relay."""
    home = tmp_path_factory.mktemp("daemon")
    with running_daemon(home) as started:
        started.good("destination", "add", "off-site", place_of(server, relay, home), *opens)
        yield started


def place_of(server: Sshd, relay: CountingRelay, folder: Path) -> str:
    return f"sftp://{server.user}@127.0.0.1:{relay.port}{folder}/place"


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


def begin(daemon: Daemon, *names: str) -> list[str]:
    """Begin runs and leave them; ids of their jobs."""
    return [job["id"] for job in daemon.good("backup", *names, "--detach")["jobs"]]


def wait_for_end(daemon: Daemon, jobs: list[str]) -> None:
    for job in jobs:
        daemon.good("job", "wait", job)


def said(daemon: Daemon, job: str) -> list[str]:
    return [line["message"] for line in daemon.good("job", "log", job)["lines"]]


@pytest.mark.alone
def test_a_limit_is_changed_in_a_running_job(daemon: Daemon, relay: CountingRelay) -> None:
    """Who lifts the limit in the evening, or lowers it for a call, would wait for the job's end."""
    limit(daemon, "2 MiB/s")
    make_set(daemon, "one", 18 * MIB, 1)
    relay.begin()
    (job,) = begin(daemon, "one")
    wait_for(lambda: relay.total("up") > MIB)
    began = time.monotonic()
    wait_for(lambda: relay.total("up") > 5 * MIB)
    lifted = time.monotonic()
    limit(daemon, "4 MiB/s")
    set_seconds = time.monotonic() - lifted
    wait_for(lambda: relay.total("up") > 14 * MIB)
    lowered = time.monotonic()
    # As an editor of the file would: the daemon reads it at SIGHUP.
    settings = daemon.config / "backupd.yaml"
    settings.write_text(settings.read_text().replace("4 MiB/s", "2 MiB/s"))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    wait_for_end(daemon, [job])
    assert relay.most_in_a_second("up", began, lifted) <= MOST * RATE
    assert relay.average("up", began, lifted) >= LEAST * RATE
    fast = relay.most_in_a_second("up", lifted, lowered)
    assert MOST * RATE < fast <= MOST * 2 * RATE, f"it took over 5 s; the command alone took {set_seconds:.1f} s"
    assert relay.most_in_a_second("up", lowered + 1) <= MOST * RATE
    assert "uploads are limited to 2.0 MiB/s (16.8 Mbit/s) by the rule house" in said(daemon, job)


@pytest.mark.alone
def test_jobs_share_a_limit_or_have_it_each(daemon: Daemon, relay: CountingRelay) -> None:
    """A limit of the line that each of two jobs has for itself is twice as high as the line."""
    limit(daemon, "2 MiB/s", "shared", "upload")
    for number, name in enumerate(("two", "three")):
        make_set(daemon, name, 3 * MIB, number)
    relay.begin()
    jobs = begin(daemon, "two", "three")
    wait_for_end(daemon, jobs)
    assert LEAST * RATE <= relay.most_in_a_second("up") <= MOST * RATE
    told = said(daemon, jobs[0])
    assert "uploads are limited to 2.0 MiB/s (16.8 Mbit/s) by the rule house, shared with other jobs" in told
    assert not any("downloads" in line for line in told)
    limit(daemon, "2 MiB/s", "independent", "upload")
    for name in ("two", "three"):
        (daemon.home / f"source-{name}" / "more").write_bytes(Random(name).randbytes(4 * MIB))
    relay.begin()
    wait_for_end(daemon, begin(daemon, "two", "three"))
    assert MOST * RATE < relay.most_in_a_second("up") <= 2 * MOST * RATE


@pytest.mark.alone
def test_a_restore_with_workers_stays_under_the_limit(daemon: Daemon, relay: CountingRelay, tmp_path: Path) -> None:
    """Each worker reads from the store by itself; together they must not take the whole line."""
    limit(daemon, "100 Mbit/s")
    source = make_set(daemon, "four", 2 * MIB, 1)
    (source / "other").write_bytes(Random(2).randbytes(3 * MIB))
    daemon.good("backup", "four", "--limit-upload", "1 Gbit/s")
    relay.begin()
    words = ("--to", tmp_path / "back", "--strip", "--jobs", "2", "--limit-download", "16777 kbit/s")
    daemon.good("restore", "four", *words)
    assert compare_trees(source, tmp_path / "back" / source.name) == []
    assert relay.total("down") > 5 * MIB
    assert relay.most_in_a_second("down") <= MOST * RATE
    assert relay.average("down") <= 1.1 * RATE


@pytest.mark.alone
def test_limits_of_a_job_without_a_daemon(
    server: Sshd, relay: CountingRelay, opens: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """`once` in a CI job takes the line of those who work beside it."""
    machine, source, place = Machine(tmp_path / "home"), tmp_path / "source", place_of(server, relay, tmp_path)
    source.mkdir()
    for number in range(2):
        (source / f"file{number}").write_bytes(Random(number).randbytes(3 * MIB // 2))
    relay.begin()
    limits = ("--limit-upload", "2 MiB/s", "--limit-download", "20 Mbit/s")
    made = machine.bkctl("once", source, "--to", place, *opens, "--name", "docs", *limits)
    assert made.returncode == 0, made.stderr
    assert b"uploads are limited to 2.0 MiB/s (16.8 Mbit/s) by --limit-upload" in made.stderr
    assert LEAST * RATE <= relay.most_in_a_second("up") <= MOST * RATE
    relay.begin()
    words = ("--to", tmp_path / "back", "--jobs", "2", "--limit-download", "2 MiB/s")
    back = machine.bkctl("restore", "docs", "--from", place, *opens, *words)
    assert back.returncode == 0, back.stderr
    assert relay.total("down") > 3 * MIB
    assert LEAST * RATE <= relay.most_in_a_second("down") <= MOST * RATE
