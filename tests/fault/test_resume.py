"""Runs that are stopped go on where they were: in the middle of a large file, in the middle of a large tree."""

from __future__ import annotations

import signal
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fault.conftest import GIB, Faults
from tests.support.ledger import SLACK_BYTES, Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.running import Run, show
from tests.support.seeded_tree import MIB, build_sparse, build_tree

pytestmark = [pytest.mark.alone, pytest.mark.platform("linux")]

_ENDS = {143: "run.terminated", 130: "run.interrupted", 5: "run.stopped"}
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


class Interrupted:
    """One source that is backed up by runs which are stopped; adds up what they read."""

    def __init__(self, above: Path, *words: str | Path) -> None:
        self.ledger = Ledger(Machine(above / "home"), above / "place")
        self.words = ("once", *words, "--to", self.ledger.place, "--name", "long")
        self.read_bytes: list[int] = []
        """Of every run that said it; one that was killed says nothing."""
        self.exits: list[int] = []

    def run(self, stop: int | None = None, after_bytes: int = 0, *words: str) -> dict[str, Any]:
        """One run, stopped when it has stored so much; a signal that comes too late does nothing."""
        before = self.ledger.block_bytes()
        run = Run(self.ledger.machine, *self.words, *words)
        if stop is not None and run.wait_until(lambda: self.ledger.block_bytes() - before >= after_bytes, 600):
            if stop == signal.SIGKILL:
                run.kill()
            else:
                run.process.send_signal(stop)
        document = run.end()
        self.exits.append(document["exit"])
        if document["result"] is not None:
            self.read_bytes.append(document["result"]["runs"][0]["bytes"]["read"])
        return document

    def partial_snapshots(self) -> list[dict[str, Any]]:
        """Those that stopped runs left."""
        listed = self.ledger.machine.json("snapshot", "list", "--incomplete", "--from", self.ledger.place)
        return [snapshot for snapshot in listed["result"]["snapshots"] if snapshot["incomplete"]]


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.nightly), "2"])
def test_a_large_sparse_file_goes_on_in_its_middle(tmp_path: Path, faults: Faults, jobs: str) -> None:
    """Else a disk image that takes longer than the machine is on is never backed up."""
    random = faults.random()
    source = tmp_path / "source"
    source.mkdir()
    size, data = (100 * GIB, 3 * GIB) if faults.is_full else (4 * GIB, 256 * MIB)
    build_sparse(source / "disk.img", random, size, data, data // 50 // MIB * MIB)
    data = sum(path.stat().st_blocks * 512 for path in source.iterdir())
    interrupted = Interrupted(tmp_path, source, "--jobs", jobs)
    document = _stop_often(interrupted, random, data, 10)
    assert document["exit"] == 0, show(document)
    assert len(interrupted.exits) >= (3 if faults.is_full else 2), interrupted.exits
    assert sum(interrupted.read_bytes) <= 1.05 * data, (interrupted.read_bytes, interrupted.exits)
    assert interrupted.ledger.block_bytes() <= 1.05 * data + SLACK_BYTES
    interrupted.ledger.note(document, hash_tree(source))
    interrupted.ledger.check_all(tmp_path, source)
    assert interrupted.partial_snapshots() == []
    print(interrupted.exits, interrupted.read_bytes, sum(interrupted.read_bytes) / data)  # noqa: T201


def _stop_often(interrupted: Interrupted, random: Random, data: int, stops: int) -> dict[str, Any]:
    """Runs of which most are stopped when they have stored their share.

    None is stopped behind the file's end: one that is as new as this is read again then, by design (DESIGN 7, Young).
    """
    for _ in range(stops):
        known = sum(interrupted.read_bytes)
        if known + 1.5 * max(interrupted.read_bytes, default=0) > data:
            break
        stop = random.choice(_STOPS)
        document = interrupted.run(stop, data // (2 * stops + 4))
        if document["exit"] == 0:
            return document
        if stop != signal.SIGKILL:
            assert document["error"]["code"] == _ENDS[document["exit"]], show(document)
            assert document["result"]["runs"][0]["incomplete"]
            assert interrupted.read_bytes[-1] <= data - known + data // 20, "it began anew"
            assert interrupted.partial_snapshots()
    return interrupted.run()


def test_stop_after_ends_some_day(tmp_path: Path, faults: Faults) -> None:
    """Else a large tree that gets a quarter of an hour each night is never backed up."""
    installed = Path(sysconfig.get_paths()["purelib"])
    sources = [installed] if faults.is_full else [installed / name for name in ("botocore", "zstandard")]
    paths = [path for source in sources for path in source.rglob("*")]
    size = sum(path.lstat().st_size for path in paths if path.is_file() and not path.is_symlink())
    _wait_until_old(paths)
    # Slow on purpose: with one worker.
    interrupted = Interrupted(tmp_path, *sources, "--jobs", "1", "--compression", "best", "--stop-after", "1s")
    for _ in range(100):
        document = interrupted.run()
        assert document["exit"] in (0, 5), show(document)
        if document["exit"] == 0:
            break
        assert document["error"]["code"] == "run.stopped"
        assert len(interrupted.partial_snapshots()) == len(interrupted.exits)
    assert interrupted.exits[-1] == 0
    assert len(interrupted.exits) > 1, "the tree was too small to be stopped in"
    assert sum(interrupted.read_bytes) <= 1.05 * size, interrupted.read_bytes
    interrupted.ledger.note(document, "")
    interrupted.ledger.check_listed()
    assert interrupted.ledger.leftovers() == []


def test_what_was_read_before_a_kill_is_not_stored_again(tmp_path: Path, faults: Faults) -> None:
    """Else blocks that were sent just before a power cut lie there twice."""
    source = tmp_path / "source"
    build_tree(source, faults.random(), 120 * MIB)
    interrupted = Interrupted(tmp_path, source)
    interrupted.run(signal.SIGKILL, 30 * MIB)
    before = interrupted.ledger.block_bytes()
    assert before
    document = interrupted.run()
    new_bytes = document["result"]["runs"][0]["destinations"][0]["stored_bytes"]
    assert new_bytes == interrupted.ledger.block_bytes() - before
    assert interrupted.ledger.machine.json("check", "--from", interrupted.ledger.place)["exit"] == 0
    assert interrupted.ledger.leftovers() == []


def _wait_until_old(paths: Sequence[Path]) -> None:
    """What changed within the last minute is read again by design (DESIGN 7, Young)."""
    newest = max(path.lstat().st_ctime for path in paths)
    while time.time() - newest < 62:  # noqa: TID251 - compared with time stamps of files
        time.sleep(1)
