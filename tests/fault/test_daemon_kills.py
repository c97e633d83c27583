"""kill -9 of daemon, job and workers at any moment (RELIABILITY C2): nothing lost, no manual step."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.fault.conftest import Faults
from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.ledger import Ledger, hash_tree
from tests.support.running import children, is_there, kill
from tests.support.seeded_tree import MIB, build_tree

pytestmark = pytest.mark.platform("linux")

_KEPT_ROUNDS = 6
_VICTIMS = ("daemon", "daemon", "daemon twice", "daemon and job", "job", "job and workers", "workers")


@dataclass
class Campaign:
    """A set whose source changes before every run, and every run is disturbed once."""

    daemon: Daemon
    source: Path
    ledger: Ledger
    random: Random
    seconds: float = 0.0
    """What a run takes."""
    killed: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """An undisturbed run, which tells how long one takes."""
        document = self.daemon.json("backup", "docs")
        self.ledger.note(document, hash_tree(self.source))
        self.seconds = document["result"]["runs"][0]["seconds"] + 0.5

    def disturb(self) -> None:
        """Change the source, begin a run, kill somebody, see that all comes to its end by itself."""
        number = self.killed.total()
        build_tree(self.source / f"round-{number}", self.random, self.random.randint(4, 24) * MIB)
        if number >= _KEPT_ROUNDS:
            shutil.rmtree(self.source / f"round-{number - _KEPT_ROUNDS}")
        tree_hash = hash_tree(self.source)
        slow_set.begin(self.daemon, "docs")
        time.sleep(self.random.uniform(0, self.seconds))
        victim = self.random.choice(_VICTIMS)
        self.killed[victim] += 1
        jobs = self._kill(victim)
        slow_set.wait_for(lambda: not any(is_there(one) for one in jobs))
        slow_set.wait_for(self._is_quiet)
        self._note(tree_hash)

    def _kill(self, victim: str) -> list[int]:
        """Returns processes that were at work."""
        assert self.daemon.process is not None
        jobs = list(children(self.daemon.process.pid))
        workers = [worker for job in jobs for worker in children(job)]
        for process in _chosen(victim, jobs, workers):
            kill(process)
        if "daemon" in victim:
            self.daemon.kill()
            self.daemon.start()
        if victim == "daemon twice":
            self.daemon.kill()
            self.daemon.start()
        return [*jobs, *workers] if victim != "workers" else []

    def _is_quiet(self) -> bool:
        return not self.daemon.good("job", "list", "--status", "queued,running,paused")["jobs"]

    def _note(self, tree_hash: str) -> None:
        """What was reported as good, and what was committed just before somebody died."""
        newest = self.daemon.good("job", "list", "--limit", "1")["jobs"][0]
        if newest["exit"] == 0:
            self.ledger.note(newest, tree_hash)
        for snapshot in self.daemon.good("snapshot", "list", "docs")["snapshots"]:
            self.ledger.good.setdefault(snapshot["id"], tree_hash)

    def verify(self, scratch: Path) -> None:
        """The run after the last fault needs no help; all that was ever good comes back."""
        began = self.daemon.json("backup", "docs")
        assert began["exit"] == 0, slow_set.shown(began)
        self.ledger.note(began, hash_tree(self.source))
        self.ledger.check_listed()
        everything = dict(self.ledger.good)
        # Each restore takes its time: the newest, and some of the others.
        others = self.random.sample(sorted(everything), min(3, len(everything)))
        kept = {began["result"]["runs"][0]["snapshot"], *others}
        checked = self.daemon.json("check", "docs", "--crc")
        assert checked["exit"] == 0, slow_set.shown(checked)
        for snapshot in kept:
            target = scratch / snapshot
            self.daemon.good("restore", "docs", "--as-of", snapshot, "--to", target)
            assert hash_tree(target / str(self.source)[1:]) == everything[snapshot]
        assert not self.ledger.leftovers(), self.ledger.leftovers()


def _chosen(victim: str, jobs: list[int], workers: list[int]) -> Iterator[int]:
    if "job" in victim:
        yield from jobs
    if "workers" in victim:
        yield from workers


def test_nothing_is_lost_when_daemon_job_or_workers_are_killed(tmp_path: Path, faults: Faults) -> None:
    """Else a machine that loses power each evening has no backup, or needs somebody who repairs it."""
    random, source, place = faults.random(), tmp_path / "source", tmp_path / "place"
    build_tree(source / "first", random, 20 * MIB)
    with running_daemon(tmp_path / "home") as daemon:
        daemon.good("set", "create", "docs", "--source", source, "--to", place)
        campaign = Campaign(daemon, source, Ledger(daemon, place), random)
        campaign.begin()
        for number in range(faults.daemon_kills):
            campaign.disturb()
            if number % 10 == 9:
                campaign.verify(tmp_path / f"out-{number}")
        campaign.verify(tmp_path / "out")
        jobs = Counter(one["state"] for one in daemon.good("job", "list", "--limit", "1000")["jobs"])
    assert campaign.killed.total() == faults.daemon_kills
    print(f"{dict(campaign.killed)}, {len(campaign.ledger.good)} snapshots, jobs {dict(jobs)}")  # noqa: T201
