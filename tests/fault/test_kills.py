"""kill -9 at any moment (RELIABILITY C2): no committed snapshot is lost, no manual step, nothing stored twice."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.fault.conftest import GIB, Faults
from tests.support.ledger import SLACK_BYTES, Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.poison import Poison
from tests.support.running import Run, kill, show
from tests.support.seeded_tree import MIB, build_tree

pytestmark = [pytest.mark.alone, pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]


@dataclass
class Sample:
    """A source, and what an undisturbed first backup of it takes."""

    source: Path
    tree_hash: str
    seconds: float
    stored_bytes: int


def _sample(above: Path, random: Random, size_bytes: int) -> Sample:
    source = above / "source"
    build_tree(source, random, size_bytes)
    machine, place = Machine(above / "undisturbed"), above / "undisturbed-place"
    began = time.monotonic()
    document = machine.json("once", source, "--to", place)
    seconds = time.monotonic() - began
    assert document["exit"] == 0, show(document)
    return Sample(source, hash_tree(source), seconds, Ledger(machine, place).block_bytes())


@dataclass
class Campaign:
    """First backups at new places, killed until enough kills are used up."""

    above: Path
    random: Random
    sample: Sample
    kills: int
    used: int = 0
    rounds: list[float] = field(default_factory=list)
    """Of each first backup: bytes stored, relative to an undisturbed one."""

    def run(self) -> None:
        """All rounds."""
        while self.used < self.kills:
            above = self.above / f"round-{len(self.rounds)}"
            above.mkdir()
            self._round(above)

    def _round(self, above: Path) -> None:
        ledger = Ledger(Machine(above / "home"), above / "place")
        while self.used < self.kills and not ledger.good:
            run = Run(ledger.machine, "once", self.sample.source, "--to", ledger.place, "--name", "first")
            # Often soon, so that many moments of one first backup are met; sometimes any time.
            latest = self.random.choice((0.4, 0.4, 0.6, 1.0)) * (self.sample.seconds + 0.5)
            run.wait_until(lambda: False, self.random.uniform(0.05, latest))
            victim = self.random.choice(("job and workers", "job and workers", "job", "bkctl"))
            if run.is_running:
                self.used += 1
            if victim == "bkctl":
                self._kill_bkctl(run)
            else:
                run.kill(with_workers=victim != "job")
                document = run.end()
                if document["exit"] == 0:
                    ledger.note(document, self.sample.tree_hash)
                else:
                    assert document["error"]["code"] == "daemon.unreachable", show(document)
        self._last(ledger, above)

    def _kill_bkctl(self, run: Run) -> None:
        """Its job makes a checkpoint and ends; what it says nobody hears."""
        kill(run.process.pid)
        run.process.communicate()

    def _last(self, ledger: Ledger, above: Path) -> None:
        """The run after the last fault, which needs no help; what it took over counts as one run's work."""
        document = Run(ledger.machine, "once", self.sample.source, "--to", ledger.place, "--name", "first",
                       "--if-running", "wait").end()
        assert document["exit"] == 0, show(document)
        listed = ledger.machine.json("snapshot", "list", "--from", ledger.place)["result"]["snapshots"]
        for snapshot in listed:
            ledger.good.setdefault(snapshot["id"], self.sample.tree_hash)
        ledger.check_all(above, self.sample.source)
        self.rounds.append(ledger.block_bytes() / self.sample.stored_bytes)
        assert ledger.block_bytes() <= 1.05 * self.sample.stored_bytes + SLACK_BYTES, self.rounds
        shutil.rmtree(above)


def test_a_first_backup_goes_on_after_kill_9_at_any_moment(tmp_path: Path, faults: Faults) -> None:
    """Else a machine that is switched off each evening is never backed up, or fills its disk with what it has."""
    random = faults.random()
    sample = _sample(tmp_path, random, 2 * GIB if faults.is_full else 56 * MIB)
    campaign = Campaign(tmp_path, random, sample, faults.kills)
    campaign.run()
    assert campaign.used == faults.kills
    print(f"{campaign.used} kills, stored {[f'{share:.3f}' for share in campaign.rounds]}")  # noqa: T201


def test_a_run_survives_its_workers(tmp_path: Path, faults: Faults) -> None:
    """Else one process that the kernel kills for memory ends a night's backup."""
    random = faults.random()
    sample = _sample(tmp_path, random, 2 * GIB if faults.is_full else 32 * MIB)
    noticed = 0
    # A worker that dies once its work is done is not missed: then another run is to show it.
    for number in range(5):
        ledger = Ledger(Machine(tmp_path / f"home-{number}"), tmp_path / f"place-{number}")
        run = Run(ledger.machine, "once", sample.source, "--to", ledger.place)
        # Few enough that no large file can be held to blame for them.
        for _ in range(2):
            run.wait_until(lambda run=run: bool(run.workers))  # type: ignore[misc]
            run.wait_until(lambda: False, random.uniform(0.1, 0.4 * sample.seconds))
            for worker in run.workers[: random.randint(1, 2)]:
                kill(worker, random.choice((signal.SIGKILL, signal.SIGSEGV)))
        document = run.end()
        assert document["exit"] == 0, show(document)
        ledger.note(document, sample.tree_hash)
        ledger.check_all(tmp_path, sample.source)
        noticed += any("worker ended" in warning for warning in document["warnings"])
        if noticed:
            break
    assert noticed


def test_a_restore_survives_all_its_workers_at_once(tmp_path: Path, faults: Faults) -> None:
    """Else a restore for which memory runs out once leaves out files that nothing is wrong with."""
    source = tmp_path / "source"
    build_tree(source, faults.random(), 32 * MIB)
    machine, place = Machine(tmp_path / "home"), tmp_path / "place"
    assert machine.json("once", source, "--to", place)["exit"] == 0
    for number in range(3):
        target = tmp_path / f"restored-{number}"
        run = Run(machine, "restore", "--from", place, "--strip", "--to", target, "--jobs", "2")
        assert run.wait_until(lambda run=run: len(run.workers) == 2)  # type: ignore[misc]
        for worker in run.workers:
            kill(worker)
        document = run.end()
        assert document["exit"] == 0, show(document)
        assert hash_tree(target / source.name) == hash_tree(source)


@pytest.mark.root
def test_a_file_that_kills_its_readers_is_left_out_alone(tmp_path: Path, faults: Faults) -> None:
    """Else one broken file keeps all others from being backed up, or takes its neighbours with it."""
    source = tmp_path / "source"
    build_tree(source, faults.random(), 20 * MIB)
    small = max(source.rglob("small-*"), key=lambda path: path.stat().st_size)
    ledger = Ledger(Machine(tmp_path / "home"), tmp_path / "place")
    with Poison(small) as poison:
        document = Run(ledger.machine, "once", source, "--to", ledger.place).end()
    assert poison.deaths >= 2
    assert document["exit"] == 3, show(document)
    problems = document["result"]["runs"][0]["problems"]
    assert [problem["path"] for problem in problems["first"]] == [str(small)]
    small.unlink()
    restored = tmp_path / "restored" / source.name
    done = ledger.machine.bkctl("restore", source, "--from", ledger.place, "--strip", "--to", restored.parent)
    assert done.returncode == 0, done.stderr
    kept = {path.relative_to(source) for path in source.rglob("*")}
    assert {path.relative_to(restored) for path in restored.rglob("*")} == kept
    for path in kept:
        if (source / path).is_file():
            assert (restored / path).read_bytes() == (source / path).read_bytes()


@pytest.mark.root
def test_a_large_file_that_kills_its_readers_is_left_out_alone(tmp_path: Path, faults: Faults) -> None:
    """The same for what is read in regions."""
    source = tmp_path / "source"
    build_tree(source, faults.random(), 20 * MIB)
    large = max(source.rglob("large-*"), key=lambda path: path.stat().st_size)
    machine, place = Machine(tmp_path / "home"), tmp_path / "place"
    with Poison(large) as poison:
        document = Run(machine, "once", source, "--to", place).end()
    assert poison.deaths == 3, "once among others, twice alone"
    assert document["exit"] == 3, show(document)
    assert [p["path"] for p in document["result"]["runs"][0]["problems"]["first"]] == [str(large)]
