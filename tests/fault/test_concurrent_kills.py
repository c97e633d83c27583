"""Kills and vanishing places in the middle of runs at three places at once: each keeps what it was said to have.

After every round the places are back and nobody disturbs: the next run, or at most one more, needs no help and brings
all three into step, and each gives back the very tree; what any of them was said to hold before is listed there still.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest

from backupd.model.api import StartBackup, Started
from backupd.model.jobs import ENDED, JobView
from backupd.model.orders import CheckOrder, Limits, RestoreOrder, Selection, SnapshotListOrder
from bkctl.daemon_client import DaemonClient
from tests.fault.conftest import Faults
from tests.support.daemon import Daemon
from tests.support.household import Inside
from tests.support.ledger import hash_tree
from tests.support.running import children, kill
from tests.support.seeded_tree import MIB, change_tree

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

SET = "docs"
NAMES = ("one", "two", "three")
_WAIT_SECONDS = 180.0
_HOW = ("job", "workers", "daemon", "place", "place and job", "cancel")


class Trio:
    """A daemon with one set at three places, and what each of them was said to hold."""

    def __init__(self, above: Path, random: Random) -> None:
        self.above, self.random, self.source = above, random, above / "source"
        self.daemon = Daemon(above / "home")
        self.inside = Inside(self.daemon)
        self.client = DaemonClient(str(self.daemon.socket), "")
        self.good: dict[str, dict[str, str]] = defaultdict(dict)
        """Place -> snapshot id -> hash of the tree that it was made of."""
        self.counted: Counter[str] = Counter()
        self.hits = 0
        """Disturbances that found a run under way."""
        self._most_seconds = 2.0
        """How long one is waited with at most: half as long after each that came too late."""
        self.tree = ""
        self.change(3 * MIB)
        self.daemon.start()
        to = [word for name in NAMES for word in ("--to", name)]
        for name in NAMES:
            self.daemon.good("destination", "add", name, above / name)
        words = ("--mode", "concurrent", "--jobs", str(random.choice((1, 2))))
        self.daemon.good("set", "create", SET, "--source", self.source, *to, *words)

    def change(self, size_bytes: int) -> None:
        """Change the source."""
        change_tree(self.source, self.random, size_bytes)
        self.tree = hash_tree(self.source)

    def round(self) -> None:
        """A disturbed run, then one that is not."""
        self.change(self.random.randint(1, 3 * MIB))
        how = self.random.choice(_HOW)
        job = self._begin()
        self._wait_for_run(job, with_workers=how == "workers")
        time.sleep(self.random.random() ** 2 * self._most_seconds)
        away, is_hit = self._disturb(how, job)
        self.counted[how if is_hit else "too late"] += 1
        self.hits += is_hit
        if not is_hit:
            self._most_seconds /= 2
        self._settle(job)
        for name in away:
            shutil.rmtree(self.above / name, ignore_errors=True)
            (self.above / f"{name}-away").rename(self.above / name)
        self.note(self._job(job))
        tries = 0
        while True:
            ended = self._settle(self._begin())
            self.note(ended)
            tries += 1
            if ended.exit_code == 0:
                break
            assert tries < 2, f"after {how}: {ended}"
        self.counted["second tries"] += tries - 1
        for name in NAMES:
            self._check_newest(name)

    def _begin(self) -> str:
        return self.client.request("POST", "/v1/backups", StartBackup(sets=[SET]), Started).jobs[0].id

    def _wait_for_run(self, job: str, *, with_workers: bool) -> None:
        """Wait until its process is there, and its workers; or it has ended before anybody saw them."""
        end = time.monotonic() + _WAIT_SECONDS
        while not (self._workers() if with_workers else self._processes()) and self._job(job).state not in ENDED:
            assert time.monotonic() < end, self._job(job)
            time.sleep(0.005)

    def _processes(self) -> list[int]:
        assert self.daemon.process is not None
        return list(children(self.daemon.process.pid))

    def _workers(self) -> list[int]:
        return [worker for process in self._processes() for worker in children(process)]

    def _disturb(self, how: str, job: str) -> tuple[list[str], bool]:
        """Gives the places that are away now, and whether a run was there to be disturbed."""
        assert self.daemon.process is not None
        jobs, workers = self._processes(), self._workers()
        away: list[str] = []
        if "place" in how:
            for name in self.random.sample(NAMES, self.random.choice((1, 1, 2))):
                if (self.above / name).is_dir():
                    (self.above / name).rename(self.above / f"{name}-away")
                    away.append(name)
        for process in workers if how == "workers" else jobs if "job" in how else ():
            kill(process)
        if how == "daemon":
            self.daemon.process.send_signal(signal.SIGKILL)
            self.daemon.process.wait()
            self.daemon.start()
        if how == "cancel":
            self.daemon.json("job", "cancel", job)
        found = {"workers": bool(workers), "place": bool(jobs and away)}
        return away, found.get(how, bool(jobs))

    def _settle(self, job: str) -> JobView:
        end = time.monotonic() + _WAIT_SECONDS
        assert self.daemon.process is not None
        while (found := self._job(job)).state not in ENDED or list(children(self.daemon.process.pid)):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def _job(self, job: str) -> JobView:
        return self.client.get(f"/v1/jobs/{job}", JobView)

    def note(self, job: JobView) -> None:
        """What each place was said to hold."""
        for run in (job.result or {}).get("runs") or []:
            for entry in run["destinations"]:
                if entry["verdict"] == "good" and not run["incomplete"]:
                    self.good[entry["name"]][run["snapshot"]] = self.tree

    def listed(self, name: str) -> list[str]:
        """Ids of the complete snapshots at a place, the newest last."""
        found = self.inside.run(SnapshotListOrder(place=str(self.above / name))).result["snapshots"]
        return [one["id"] for one in sorted(found, key=lambda one: str(one["time"]))]

    def _check_newest(self, name: str) -> None:
        listed = self.listed(name)
        lost = self.good[name].keys() - set(listed)
        assert not lost, f"{name} lost {lost}"
        self.check_restored(name, listed[-1], self.tree)

    def check_restored(self, name: str, snapshot: str, tree: str) -> None:
        """A snapshot at a place gives back the tree of that hash."""
        target = self.above / "restored"
        order = RestoreOrder(
            place=str(self.above / name), selection=Selection(as_of=snapshot), to=os.fsencode(target), strip=True,
            limits=Limits(jobs=1, polite=False),
        )  # fmt: skip
        assert self.inside.run(order).done.exit_code == 0
        assert hash_tree(target / self.source.name) == tree, f"{snapshot} at {name} is another tree"
        shutil.rmtree(target)

    def check(self, name: str) -> None:
        """Every byte at a place."""
        done = self.inside.run(CheckOrder(place=str(self.above / name), crc=True, limits=Limits(jobs=1, polite=False)))
        assert done.done.exit_code == 0, done.result


def test_each_place_keeps_what_it_was_said_to_hold(tmp_path: Path, faults: Faults) -> None:
    """Else a run at several places at once is less than the sum of runs at each."""
    random = faults.random()
    rounds = max(2, faults.kills // 2)
    trio = Trio(tmp_path, random)
    try:
        for _ in range(rounds * 3):
            if trio.hits == rounds:
                break
            trio.round()
        assert trio.hits, f"nothing was under way when it was disturbed: {dict(trio.counted)}"
        for name in NAMES:
            for snapshot, tree in random.sample(sorted(trio.good[name].items()), min(5, len(trio.good[name]))):
                trio.check_restored(name, snapshot, tree)
            trio.check(name)
    finally:
        trio.daemon.stop()
    print(f"{trio.hits} disturbed rounds: {dict(trio.counted)}")  # noqa: T201 - counts for docs/reliability.md
