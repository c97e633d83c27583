"""Eight sets that run each minute for half an hour, one fault a minute: what the daemon holds stays as it is (F5).

With --full-size half an hour; else three minutes, and only with --nightly. Prints what docs/reliability.md tells.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from tests.fault.conftest import Faults
from tests.support.daemon import Daemon, running_daemon
from tests.support.raw_http import Raw, body_of
from tests.support.running import children, kill

pytestmark = [pytest.mark.platform("linux"), pytest.mark.nightly, pytest.mark.timeout(3000)]

_SETS = 8
_STATUS_SECONDS = 0.25


@dataclass(frozen=True)
class Held:
    """What the daemon's process holds."""

    memory_bytes: int
    descriptors: int
    threads: int
    temporary_files: int


class Soak:
    """A daemon, its sets, and who asks for its status all the time."""

    def __init__(self, daemon: Daemon, above: Path, random: Random) -> None:
        self.daemon, self.above, self.random = daemon, above, random
        self.seconds: list[float] = []
        self.is_away = False
        self._over = Event()
        self._asker = Thread(target=self._ask, daemon=True)

    def begin(self) -> None:
        for number in range(_SETS):
            source = self.above / f"source{number}"
            source.mkdir()
            self.edit(number)
            place = self.above / f"place{number % 4}"
            self.daemon.good("set", "create", f"set{number}", "--source", source, "--to", place)
            self.daemon.good("schedule", "add", f"set{number}", "--every", "1m")
        self._asker.start()

    def end(self) -> None:
        self._over.set()
        self._asker.join(30)

    def edit(self, number: int) -> None:
        for name in range(6):
            if self.random.random() < 0.5:
                path = self.above / f"source{number}" / f"f{name}"
                path.write_bytes(self.random.randbytes(self.random.randrange(1, 200_000)))

    def held(self) -> Held:
        process = self.daemon.process
        assert process is not None
        status = Path(f"/proc/{process.pid}/status").read_text()
        threads = int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])
        temporary = [
            one for one in self.daemon.state.rglob("*") if "tmp" in one.name or one.name.startswith("backupd-set")
        ]
        return Held(self.daemon.memory_bytes(), self.daemon.open_files(), threads, len(temporary))

    def _ask(self) -> None:
        while not self._over.wait(_STATUS_SECONDS):
            began = time.monotonic()
            try:
                with Raw(self.daemon.socket, b"GET /v1/status HTTP/1.0\r\n\r\n") as connection:
                    body_of(connection.rest())
            except (OSError, ValueError):
                # The daemon is being started again.
                continue
            self.seconds.append(time.monotonic() - began)

    # Faults

    def kill_a_job(self) -> None:
        process = self.daemon.process
        assert process is not None
        found = [*children(process.pid)]
        if found:
            kill(self.random.choice(found), signal.SIGKILL)

    def kill_the_daemon(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def restart(self) -> None:
        self.daemon.restart()

    def take_a_place_away(self) -> None:
        self.bring_back()
        (self.above / "place1").rename(self.above / "away")
        self.is_away = True

    def bring_back(self) -> None:
        if self.is_away:
            (self.above / "away").rename(self.above / "place1")
            self.is_away = False

    def reload(self) -> None:
        self.daemon.ask_to_stop(signal.SIGHUP)

    def spoil_the_settings(self) -> None:
        (self.daemon.config / "backupd.yaml").write_text("queue: {jobs_at_once: many}\n")
        self.daemon.ask_to_stop(signal.SIGHUP)
        time.sleep(1)
        (self.daemon.config / "backupd.yaml").write_text("queue: {jobs_at_once: 2}\n")
        self.daemon.ask_to_stop(signal.SIGHUP)

    def hold_up(self) -> None:
        process = self.daemon.process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)


def test_half_an_hour_of_faults_leaves_nothing_behind(tmp_path: Path, faults: Faults) -> None:
    """Else a daemon that runs for years grows until the machine ends it."""
    minutes = 30 if faults.is_full else 3
    random = faults.random()
    with running_daemon(tmp_path / "home", settings="queue: {jobs_at_once: 2}\n") as daemon:
        soak = Soak(daemon, tmp_path, random)
        soak.begin()
        kinds = [
            soak.kill_a_job,
            soak.take_a_place_away,
            soak.reload,
            soak.spoil_the_settings,
            soak.hold_up,
            soak.kill_a_job,
            soak.restart,
            soak.kill_the_daemon,
        ]
        seen: list[Held] = []
        for minute in range(minutes):
            began = time.monotonic()
            time.sleep(20)
            soak.bring_back()
            kinds[minute % len(kinds)]()
            for number in range(_SETS):
                soak.edit(number)
            time.sleep(max(0.0, 58 - (time.monotonic() - began)))
            seen.append(soak.held())
            print(f"minute {minute + 1}: {seen[-1]}", flush=True)  # noqa: T201
        soak.bring_back()
        soak.end()
        runs = Counter(job["state"] for job in _all_jobs(daemon))
        for number in range(_SETS):
            document = daemon.json("backup", f"set{number}", "--if-running", "wait")
            assert document["exit"] in (0, 3), document
            daemon.good("check", f"set{number}")
    latencies = sorted(soak.seconds)
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"{dict(runs)}; status: median {statistics.median(latencies):.3f} s, p99 {p99:.3f} s of {len(latencies)}")  # noqa: T201
    assert runs["completed"] > minutes * 2
    # The first minutes load what is loaded late.
    early, late = seen[len(seen) // 3], seen[-1]
    assert late.memory_bytes < 1.15 * early.memory_bytes + (4 << 20)
    assert late.descriptors <= early.descriptors + 12
    assert late.threads <= early.threads + 4
    assert late.temporary_files <= early.temporary_files + 4
    if faults.is_full:
        assert p99 < 0.25


def _all_jobs(daemon: Daemon) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    words: tuple[str, ...] = ()
    while True:
        page = daemon.good("job", "list", *words)
        found += page["jobs"]
        if page["next"] is None:
            return found
        words = ("--after", page["next"])
