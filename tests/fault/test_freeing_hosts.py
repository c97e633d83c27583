"""Four hosts back up into one repository, restore from it and free space there, all at once (RELIABILITY D4).

Their clocks are up to 400 days apart. In each round each of them does something, and somebody may be killed or stand
still in the middle of it. After the round every snapshot that was told as good and not dropped is listed, a check of
every byte finds nothing, some give back their trees, and nothing lies around.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.clock import SystemClock
from backupd.model.orders import CheckOrder, Limits, RestoreOrder, Selection
from backupd.repository.dropping import drop_snapshots
from backupd.snapshot import naming
from tests.fault.conftest import Faults
from tests.support.fake_clock import fake_clock
from tests.support.ledger import Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.running import Run, kill, show
from tests.support.seeded_tree import MIB

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

_HOSTS = 4
_ROUNDS = 200
_LIMITS = Limits(jobs=1, polite=False)
_SKEW_DAYS = 400
_MOST_WAITED = 5.0
"""Seconds that a backup may wait for a freeing."""


class Host:
    """A machine with a source of its own."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.name = stage, f"host{number}"
        self.machine = Machine(stage.above / f"home{number}")
        self.machine.home.mkdir()
        self.source, self.target = stage.above / f"source{number}", self.machine.home / "target"
        self.source.mkdir()
        self.tree = ""

    def edit(self) -> None:
        """Files come and go; what comes may be what another host has, or had."""
        random = self.stage.random
        for number in range(8):
            path = self.source / f"f{number}"
            if random.random() < 0.4:
                path.write_bytes(random.choice(self.stage.contents))
            elif random.random() < 0.4:
                path.unlink(missing_ok=True)
        (self.source / "own").write_bytes(random.randbytes(random.choice((500, 60_000, MIB))))
        self.tree = hash_tree(self.source)

    def back_up(self) -> Run:
        """Begin a run."""
        words = ("--name", self.name, "--deduplication", "repository", "--jobs", "1")
        return Run(self.machine, "once", self.source, "--to", self.stage.place, *words)

    def restore(self, snapshot: str) -> Run:
        """Begin a restore."""
        words = ("--as-of", snapshot, "--strip", "--to", self.target)
        return Run(self.machine, "restore", self.stage.sources[snapshot], "--from", self.stage.place, *words)

    def free(self) -> Run:
        """Begin a freeing."""
        return Run(self.machine, "free", "--from", self.stage.place)


@dataclass
class Act:
    """What a host does in a round."""

    host: Host
    what: str
    snapshot: str = ""
    """To be restored."""
    is_killed: bool = False
    run: Run = field(init=False)

    def begin(self) -> None:
        """Begin it, and come back at once."""
        match self.what:
            case "backup":
                self.run = self.host.back_up()
            case "restore":
                self.run = self.host.restore(self.snapshot)
            case _:
                self.run = self.host.free()

    def end(self) -> None:
        """Wait for it. It has to be good, unless it was killed: then the same again needs no help."""
        document, stage = self.run.end(), self.host.stage
        if self.is_killed and document["exit"] != 0:
            assert document["error"]["code"] == "daemon.unreachable", show(document)
            stage.counted[f"{self.what} killed"] += 1
            if self.what == "backup":
                stage.accept_unreported(self.host)
            self.begin()
            document = self.run.end()
        assert document["exit"] == 0, f"{self.host.name}, {self.what}: {show(document)}"
        stage.counted[self.what] += 1
        self._judge(document["result"])

    def _judge(self, result: dict[str, Any]) -> None:
        host, stage = self.host, self.host.stage
        match self.what:
            case "backup":
                (run,) = result["runs"]
                stage.ledger.good[run["snapshot"]] = host.tree
                stage.sources[run["snapshot"]] = host.source
                stage.seconds.append(run["seconds"])
            case "restore":
                found = hash_tree(host.target / stage.sources[self.snapshot].name)
                assert found == stage.ledger.good[self.snapshot], f"{self.snapshot} is another tree"
                shutil.rmtree(host.target)
            case _:
                stage.counted["freed MiB"] += result["freed_bytes"] // MIB
                stage.counted["blocks deleted"] += result["deleted"]["blocks"]
                stage.counted["freeings that left something to the next"] += bool(result["waiting"])


class Stage:
    """The place, its hosts, and what was told as good there."""

    def __init__(self, above: Path, random: Random, clocks: ExitStack) -> None:
        """clocks: closed by the caller, when all is over."""
        self.above, self.random, self.place = above, random, above / "place"
        self.contents = [random.randbytes(size) for size in (900, 5000, 30_000, 70_000, 200_000, 500_000, 2 * MIB)]
        self.sources: dict[str, Path] = {}
        """By snapshot."""
        self.counted: Counter[str] = Counter()
        self.seconds: list[float] = []
        """Of the backups of a round."""
        self.beside: list[float] = []
        self.alone: list[float] = []
        """Of all backups with and without a freeing at the same time."""
        self.past: list[float] = []
        """Of those that began and ended while a freeing stood still."""
        self.hosts = [Host(self, number) for number in range(_HOSTS)]
        self.ledger = Ledger(self.hosts[0].machine, self.place)
        for host in self.hosts:
            clocks.enter_context(fake_clock(host.machine)).set_wall(timedelta(random.uniform(-1, 1) * _SKEW_DAYS / 2))
            if host is not self.hosts[0]:
                shutil.copytree(self.hosts[0].machine.keys, host.machine.keys)
            host.edit()
            act = Act(host, "backup")
            act.begin()
            act.end()

    def round(self) -> None:
        """All at once, most times with a freeing or two."""
        random, hosts = self.random, self.random.sample(self.hosts, _HOSTS)
        # The first time for sure.
        cleaners = random.choice((0, 1, 1, 1, 2, 2)) or int(not self.counted["free"])
        dropped = self._choose_dropped() if cleaners else []
        acts = [self._drawn(host, is_cleaner=number < cleaners) for number, host in enumerate(hosts)]
        how = random.choice(("none", "none", "kill", "stand still"))
        victim = None if how == "none" else random.choice([one for one in acts if one.what != "restore"] or acts)
        self.seconds = []
        for act in random.sample(acts, _HOSTS):
            act.begin()
        self._drop(random.choice(hosts), dropped)
        if victim is not None:
            self._disturb(victim, how)
        # Who stands still while he frees keeps nobody from backing up.
        others = [one for one in acts if one is not victim and one.what != "free"]
        for act in others:
            act.end()
        if victim is not None and victim.what == "free" and how == "stand still" and victim.run.process.poll() is None:
            self.past += self.seconds
        if victim is not None:
            kill(victim.run.job or victim.run.process.pid, signal.SIGCONT)
        for act in acts:
            if act not in others:
                act.end()
        (self.beside if cleaners else self.alone).extend(self.seconds)
        self._look()

    def accept_unreported(self, host: Host) -> None:
        """A run was killed that may have committed."""
        for snapshot in self.ledger.accept_unreported(host.machine, host.tree, 1):
            self.sources[snapshot] = host.source

    def _drawn(self, host: Host, *, is_cleaner: bool) -> Act:
        if is_cleaner:
            return Act(host, "free")
        if self.random.random() < 0.3:
            return Act(host, "restore", self.random.choice(sorted(self.ledger.good)))
        host.edit()
        return Act(host, "backup")

    def _disturb(self, victim: Act, how: str) -> None:
        delay = self.random.random() ** 2
        victim.run.wait_until(lambda: victim.run.job is not None)
        time.sleep(delay)
        if how == "kill":
            victim.is_killed = True
            victim.run.kill()
        elif (job := victim.run.job) is not None:
            kill(job, signal.SIGSTOP)
            self.counted[f"{victim.what} stood still"] += 1

    def _choose_dropped(self) -> list[str]:
        """Some go, but for the newest of each host; nobody asks for them any more."""
        newest = {source: snapshot for snapshot, source in self.sources.items() if snapshot in self.ledger.good}
        old = sorted(self.ledger.good.keys() - set(newest.values()))
        dropped = self.random.sample(old, self.random.randint(0, len(old)))
        for snapshot in dropped:
            del self.ledger.good[snapshot]
        return dropped

    def _drop(self, host: Host, snapshots: list[str]) -> None:
        """As retention does it, one record for each set."""
        records = host.machine.records(str(self.place))
        by_set: dict[str, list[str]] = {}
        for one in records.snapshot_names():
            if naming.snapshot_id_text(one.session) in snapshots:
                by_set.setdefault(one.set_id, []).append(one.name)
        for names in by_set.values():
            drop_snapshots(records, names, SystemClock().now_ns(), bytes(16), "a test")
        self.counted["snapshots dropped"] += len(snapshots)

    def _look(self) -> None:
        """The oracle."""
        host = self.random.choice(self.hosts)
        self.ledger.accept_unreported(host.machine, "", 0)
        done = host.machine.run(CheckOrder(place=str(self.place), crc=True, limits=_LIMITS))
        assert (done.done.exit_code, done.result["problems"]) == (0, []), done.result
        for snapshot in self.random.sample(sorted(self.ledger.good), min(2, len(self.ledger.good))):
            self._restore(host, snapshot)
        left = [path for one in self.hosts for path in Ledger(one.machine, self.place).leftovers()]
        assert not left, left

    def look_at_all(self) -> None:
        """Every snapshot gives back its tree."""
        for snapshot in self.ledger.good:
            self._restore(self.random.choice(self.hosts), snapshot)

    def _restore(self, host: Host, snapshot: str) -> None:
        wanted, target = Selection(as_of=snapshot), os.fsencode(host.target)
        host.machine.run(RestoreOrder(place=str(self.place), selection=wanted, to=target, strip=True, limits=_LIMITS))
        found = hash_tree(host.target / self.sources[snapshot].name)
        assert found == self.ledger.good[snapshot], f"{snapshot} is another tree"
        shutil.rmtree(host.target)


def test_hosts_that_back_up_restore_and_free_at_once_lose_nothing(tmp_path: Path, faults: Faults) -> None:
    """Else the freeing of one host takes what the backup of another one was just told to be there."""
    with ExitStack() as clocks:
        stage = Stage(tmp_path, faults.random(), clocks)
        for number in range(_ROUNDS if faults.is_full else max(1, faults.kills // 5)):
            try:
                stage.round()
            except BaseException:
                print(f"in round {number + 1}: {dict(stage.counted)}")  # noqa: T201 - shown where it fails
                raise
            if number % 10 == 9:
                print(f"{number + 1} rounds: {dict(stage.counted)}", flush=True)  # noqa: T201 - for docs/reliability.md
        stage.look_at_all()
    assert stage.counted["free"], "nobody freed"
    kinds = (("alone", stage.alone), ("beside a freeing", stage.beside), ("past one that stood still", stage.past))
    for when, found in kinds:
        took = f"{statistics.median(found or [0.0]):.1f} s, {max(found, default=0.0):.1f} s at most"
        print(f"{len(found)} backups {when} took {took}")  # noqa: T201 - for docs/reliability.md
    # Of what nothing waits for, only the machine is the limit.
    assert max(stage.past, default=0.0) <= max(stage.alone + stage.beside, default=0.0) + _MOST_WAITED
