"""A repository, a state and a target, each on a disk that may lose power, and what must be true after each cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from backupd.model.orders import BackupOrder, Limits
from tests.support.ledger import Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.power_cut import LOG_FLUSHED, LOG_LOST, CutDisk, Disk, kill_all, taken_away
from tests.support.running import Run, show

FOLDERS = ("r", "s", "c", "t")
"""Repository, state with keys, cache, target of restores."""
SET = "docs"


@dataclass
class Ground:
    """One source and what was made of it before anything is cut; every round begins there anew."""

    above: Path
    random: Random
    images: Path
    """Where disks lie."""
    begun: dict[str, str] = field(default_factory=dict)
    """The ledger at the beginning of each round."""
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a source of a few MiB, all of it new to every repository."""
        self.source, self.saved = self.above / "source", self.above / "saved"
        for name in FOLDERS:
            (self.above / name).mkdir(parents=True)
        self.place, self.target = self.above / "r" / "place", self.above / "t" / "out"
        self.machine = Machine(self.above / "s" / "home")
        self.machine.home.mkdir()
        (self.machine.home / "cache").symlink_to(self.above / "c")
        self.ledger = Ledger(self.machine, self.place)
        for number in range(60):
            self.write(f"d{number % 7}/{number}", min(200_000, int(self.random.paretovariate(0.7) * 300)))
        self.write("large", 2_500_000)
        self.write("sparse", 300_000)
        os.truncate(self.source / "sparse", 3_000_000)
        self.tree_hash = hash_tree(self.source)

    def write(self, name: str, size_bytes: int) -> None:
        """A file of the source with bytes that nothing else has."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.random.randbytes(size_bytes))

    def once(self) -> tuple[str, ...]:
        """The words of a backup."""
        return ("once", str(self.source), "--to", str(self.place), "--name", SET, "--jobs", "1")

    def restore(self) -> tuple[str, ...]:
        """The words of a restore."""
        return ("restore", "--from", str(self.place), "--to", str(self.target), "--jobs", "1")

    def back_up_here(self) -> None:
        """A run in this process, which has to be good."""
        limits = Limits(jobs=1, polite=False)
        order = BackupOrder(place=str(self.place), sources=[bytes(self.source)], set_name=SET, limits=limits)
        done = self.machine.run(order).done
        assert done.exit_code == 0, done.result
        self.ledger.note({"exit": 0, "result": done.result}, hash_tree(self.source))

    def save(self) -> None:
        """What lies there now is where rounds begin."""
        self.tree_hash, self.begun = hash_tree(self.source), dict(self.ledger.good)
        self.saved.mkdir()
        for name in FOLDERS:
            _copy(self.above / name, self.saved / name)

    def disks(self, layout: Sequence[str], mode: str) -> list[CutDisk]:
        """Disks of a layout as `r+s` and `t`: each word a disk with these folders."""
        return [
            CutDisk(self.images / f"{word}.img", self.above / f"disk-{word}", mode,
                    tuple((name, self.above / name) for name in word.split("+")))
            for word in layout
        ]  # fmt: skip

    def lay(self, disks: Sequence[Disk]) -> None:
        """Begin anew, on these disks."""
        self.ledger.good = dict(self.begun)
        for disk in disks:
            disk.make()
        for name in FOLDERS:
            folder = self.above / name
            for found in folder.iterdir():
                shutil.rmtree(found) if found.is_dir() else found.unlink()
            for found in (self.saved / name).iterdir():
                _copy(found, folder / found.name)
        for disk in disks:
            disk.sync()

    def verify(self, most_unreported: int, *, may_stay_announced: bool = False) -> None:
        """The oracle at what a cut left."""
        before = set(self.begun)
        self.ledger.accept_unreported(self.machine, self.tree_hash, most_unreported)
        self.back_up_here()
        new = self.ledger.good.keys() - before
        chosen = [*new, *(self.random.choices(sorted(before)) if before and self.random.random() < 0.3 else ())]
        self.ledger.check_here(self.machine, self.above / "restored", self.source, chosen,
                               may_stay_announced=may_stay_announced)


def nothing_kept(ground: Ground) -> None:
    """No repository yet."""


def kept(ground: Ground) -> None:
    """One good run."""
    ground.back_up_here()


def changed(ground: Ground) -> None:
    """New, changed and removed files."""
    ground.back_up_here()
    for number in range(0, 60, 9):
        ground.write(f"d{number % 7}/{number}", 5000)
    (ground.source / "large").unlink()
    ground.write("new/large", 3_000_000)


def renamed(ground: Ground) -> None:
    """Known content under other names: new trees over old chunks."""
    ground.back_up_here()
    shutil.copytree(ground.source / "d1", ground.source / "copy")
    (ground.source / "d2").rename(ground.source / "moved")


@dataclass
class Moment:
    """When the power goes: by the writes of all disks, or by time; both as a share of a whole run's."""

    share: float
    is_by_writes: bool
    late_seconds: float
    """After the write was seen."""
    what: int
    has_neighbour: bool
    """Another program fsyncs its own files on these disks all the time, and so brings names without bytes to them."""
    is_pulled: bool
    """Only the disk is gone: programs live on and have to say so."""


def draw_moment(random: Random) -> Moment:
    """Spread over the run; a third of them at its end, where it commits."""
    share = random.uniform(0.75, 1.02) if random.random() < 0.33 else random.uniform(0, 1.02)
    what = LOG_LOST if random.random() < 0.8 else LOG_FLUSHED
    late = random.choice((0.0, random.uniform(0, 0.003), random.uniform(0, 0.05)))
    return Moment(share, random.random() < 0.75, late, what, random.random() < 0.3, random.random() < 0.3)


@dataclass
class Measured:
    """What a run takes that nobody disturbs."""

    first_seconds: float
    """Until its first write."""
    seconds: float
    writes: dict[str, int]
    """By folder."""


def measure(ground: Ground, words: Sequence[str], folders: Sequence[str]) -> Measured:
    """An undisturbed run, each folder on a disk of its own."""
    disks = ground.disks(folders, "ordered")
    with taken_away(*disks):
        ground.lay(disks)
        before, began, first = [disk.write_count() for disk in disks], time.monotonic(), 0.0
        run = Run(ground.machine, *words)
        while run.is_running:
            first = first or (time.monotonic() - began if _writes(disks) > sum(before) else 0.0)
            time.sleep(0.001)
        seconds, document = time.monotonic() - began, run.end()
        assert document["exit"] == 0, show(document)
        writes = [disk.write_count() - count for disk, count in zip(disks, before, strict=True)]
    return Measured(first, seconds, dict(zip(folders, writes, strict=True)))


def run_and_cut(
    ground: Ground, words: Sequence[str], disks: Sequence[CutDisk], moment: Moment, measured: Measured
) -> tuple[str, dict[str, Any] | None]:
    """One run of the real program, cut at a moment; where it hit, and the document if there is one."""
    began_writes, began = _writes(disks), time.monotonic()
    run = Run(ground.machine, *words)
    latest = began + 2 * measured.seconds + 5
    at = began + measured.first_seconds + moment.share * (measured.seconds - measured.first_seconds)
    writes = sum(measured.writes[name] for disk in disks for name, _ in disk.folders)
    wanted = began_writes + round(moment.share * writes)
    while run.is_running and time.monotonic() < (latest if moment.is_by_writes else at):
        if moment.is_by_writes and _writes(disks) >= wanted:
            break
        if moment.has_neighbour:
            for disk in disks:
                disk.write_elsewhere()
        time.sleep(0.0003)
    time.sleep(moment.late_seconds)
    hit = "after" if not run.is_running else "inside" if _writes(disks) > began_writes else "before"
    for disk in disks:
        disk.cut(moment.what)
    if not moment.is_pulled:
        kill_all(run.process.pid)
    out, err = run.process.communicate(timeout=60)
    document = _document(out)
    if moment.is_pulled:
        assert document is not None, f"exit {run.process.returncode}: {out!r} {err!r}"
        assert b"Traceback" not in err, err.decode()
        # To a check, what can't be read is damage, whatever the reason.
        wrong = (3,) if words[0] == "check" else (3, 20)
        assert document["exit"] not in wrong, f"not the source's fault, and no damage: {show(document)}"
    return hit, document


def cut_once(
    ground: Ground, words: Sequence[str], layout: Sequence[str], mode: str, moments: Sequence[Moment],
    measured: Measured, counted: Counter[str], look: Callable[[Ground, bool], None],
) -> None:  # fmt: skip
    """Lay the ground, run and cut as often as there are moments, then look.

    look: at what a cut left, before anything else runs; whether the run had said that it is good.
    """
    disks = ground.disks(layout, mode)
    with taken_away(*disks):
        ground.lay(disks)
        unreported = 0
        for moment in moments:
            hit, document = run_and_cut(ground, words, disks, moment, measured)
            counted[hit] += 1
            counted["cuts"] += 1
            is_good = document is not None and document["exit"] == 0
            counted["reported as good"] += is_good
            for disk in disks:
                disk.recover()
            if document is not None and is_good and words[0] == "once":
                ground.ledger.note(document, ground.tree_hash)
            unreported += not is_good
            look(ground, is_good)
        ground.verify(unreported if words[0] == "once" else 0)


def _writes(disks: Sequence[CutDisk]) -> int:
    return sum(disk.write_count() for disk in disks)


def _document(out: bytes) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(out)
    except ValueError:
        return None
    return document


def _copy(found: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", found, to], check=True)
