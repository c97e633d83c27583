"""A place with a life behind it and the machine that wrote it, made by real runs: objects and files of every kind.

Two sets of several snapshots, some of them dropped; an index merged of eight objects, and newer objects; a rotated key,
key slots of other keys; records and gc lists; the announcement, journal and half a cache of a run that was killed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import BackupOrder, KeyOrder, Limits, Order, SnapshotListOrder
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_place
from backupd.repository.index_loading import fetch_contents
from backupd.settings import directories
from backupd.snapshot import naming
from backupd.snapshot.records import Drop
from tests.support.crashing import Scene
from tests.support.disk_trace import Step
from tests.support.machine import LaterClock, Machine, Outcome
from tests.support.photographs import Photograph, photograph
from tests.support.rich_repository import add_records

LIMITS = Limits(jobs=1, polite=False)
DOCS, MAIL = "docs", "mail"
_CHUNK_BYTES = 4096
_SLEEPY_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Kept:
    """A snapshot that must be listed, and what its source held."""

    id: str
    """As a command takes it."""
    set_name: str
    truth: Photograph


class LivedIn:
    """Made once; `fresh` puts the disk back to what it was, at the same paths, for caches are of a path."""

    def __init__(self, above: Path, random: Random) -> None:
        """Make it in a directory, most of whose bytes are shared by later copies through hard links."""
        self.above, self._random = above, random
        self.kept: list[Kept] = []
        self.scene = Scene(above, random)
        self.place, self.machine, self.sources = self.scene.place, self.scene.machine, self.scene.source
        self.master, self.older, self.stranger = above / "master", above / "older", above / "stranger"
        self._live()
        self.repository = next(self.place.glob("r*")).name
        self.unasked = self._find_unasked()
        """Names of index objects that others replace, and of snapshots that were dropped."""
        self._at_seconds = self.clock.ahead_seconds
        self._copy_to(self.master)
        self._make_stranger()

    @property
    def folder(self) -> Path:
        """Of the repository at the place."""
        return self.place / self.repository

    @property
    def clock(self) -> LaterClock:
        """The time of the next run."""
        return self.scene.clock

    def fresh(self) -> None:
        """Place and home as they were made; objects are hard links: a damaged one is written anew, never in place."""
        self.clock.ahead_seconds = self._at_seconds
        self._remove()
        shutil.copytree(self.master / "place", self.place, copy_function=os.link, symlinks=True)
        shutil.copytree(self.master / "home", self.machine.home, symlinks=True)

    def newcomer(self) -> Machine:
        """A machine that knows the key and nothing else."""
        machine = Machine(self.above / "newcomer")
        shutil.rmtree(machine.home, ignore_errors=True)
        shutil.copytree(self.master / "home/data", machine.home / "data")
        return machine

    def truth_now(self, set_name: str) -> Photograph:
        """What a backup of a set stores now."""
        return photograph(self.sources / set_name)

    def back_up_order(self, set_name: str) -> BackupOrder:
        """An order to back a set up."""
        return BackupOrder(
            place=str(self.place), sources=[bytes(self.sources / set_name)], set_name=set_name, limits=LIMITS,
            chunk_size_bytes=_CHUNK_BYTES,
        )  # fmt: skip

    def run(self, order: Order, machine: Machine | None = None) -> Outcome:
        """Carry an order out, two minutes after the one before. Raises BackupError."""
        self.clock.ahead_seconds += 120
        return (machine or self.machine).run(order, self.clock)

    def open(self) -> OpenPlace:
        """The place as the machine opens it."""
        order = SnapshotListOrder(place=str(self.place))
        found = directories.find(self.machine.environ)
        return open_place(JobContext(order, SystemClock(), Cancel(), self.machine.environ, found, lambda _: None))

    # How it was lived in

    def _live(self) -> None:
        self._first_sources()
        self._back_up(DOCS, keep=True)
        self._back_up(MAIL, keep=True)
        dropped = []
        for number in range(3):
            self._change(DOCS, number)
            dropped.append(self._back_up(DOCS))
            self._change(MAIL, number)
            if number < 2:
                dropped.append(self._back_up(MAIL))
        assert self.run(KeyOrder(place=str(self.place), verb="add", label="somebody else's")).done.exit_code == 0
        self._copy_to(self.older)
        # The eighth run: eight index objects become one.
        self._change(DOCS, 3)
        self._back_up(DOCS, keep=True)
        assert self.run(KeyOrder(place=str(self.place), verb="rotate")).done.exit_code == 0
        assert self.run(KeyOrder(place=str(self.place), verb="add", label="a third one")).done.exit_code == 0
        add_records(self.open().repository)
        self._drop(dropped)
        self._change(DOCS, 4)
        self._back_up(DOCS, keep=True)
        self._change(MAIL, 4)
        self._back_up(MAIL, keep=True)
        self._change(DOCS, 5)
        self._interrupted()

    def _back_up(self, set_name: str, *, keep: bool = False) -> str:
        outcome = self.run(self.back_up_order(set_name))
        assert outcome.done.exit_code == 0, outcome.result
        snapshot: str = outcome.result["runs"][0]["snapshot"]
        if keep:
            self.kept.append(Kept(snapshot, set_name, self.truth_now(set_name)))
        return snapshot

    def _drop(self, snapshots: list[str]) -> None:
        """Void; the objects of half of them are gone, too."""
        place = self.open()
        names = [n.name for n in place.records.snapshot_names() if naming.snapshot_id_text(n.session) in snapshots]
        assert len(names) == len(snapshots)
        place.records.drop(Drop(names, _SLEEPY_NS, bytes(16)))
        for name in names[::2]:
            place.records.place.delete(name)

    def _interrupted(self) -> None:
        """A run was killed right before its snapshot was created."""
        before, trace = self.scene.record(lambda: self.run(self.back_up_order(DOCS)).done.exit_code)
        for step in trace.steps[: next(at for at, step in enumerate(trace.steps) if _commits(step))]:
            before.do(step)
        before.lay()

    def _first_sources(self) -> None:
        docs, mail, random = self.sources / DOCS, self.sources / MAIL, self._random
        for number in range(36):
            self._write(docs / f"d{number % 4}" / f"small-{number}", random.randbytes(random.randint(1, 3000)))
        self._write(docs / "large", random.randbytes(1_300_000))
        self._write(docs / "text", b"the same words over and over. " * 9000)
        self._write(docs / "d0/empty", b"")
        os.link(docs / "d0/small-0", docs / "d1/hard link")
        os.symlink("../d0/small-4", docs / "d2/symlink")
        (docs / "d3/deep/er/and/deeper").mkdir(parents=True)
        self._write(docs / "d3/deep/er/and/deeper/file", random.randbytes(20_000))
        with (docs / "sparse").open("wb") as file:
            for place in (0, 1 << 20, 5 << 20):
                file.seek(place)
                file.write(random.randbytes(70_000))
            file.truncate(8 << 20)
        with suppress(OSError):
            os.setxattr(docs / "text", "user.long", random.randbytes(700))
        for number in range(6):
            self._write(mail / f"folder/{number}", random.randbytes(30_000))
        self._write(mail / "inbox", random.randbytes(250_000))

    def _change(self, set_name: str, number: int) -> None:
        top, random = self.sources / set_name, self._random
        self._write(top / f"new/in-{number}", random.randbytes(9000))
        if set_name == DOCS:
            self._write(top / f"d1/small-{4 * number + 1}", random.randbytes(2500))
            with (top / "large").open("r+b") as file:
                file.seek(random.randrange(1_200_000))
                file.write(random.randbytes(20_000))
            if number == 4:
                (top / "d2/small-2").unlink()

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _find_unasked(self) -> set[str]:
        place = self.open()
        names = [info.name.removeprefix("index/") for info in place.repository.place.list("index/")]
        index = [fetch_contents(place.repository, name) for name in names]
        void, _ = place.records.readable_void_names()
        return {old for one in index for old in one.replaces} | {name.rpartition("/")[2] for name in void}

    def _make_stranger(self) -> None:
        """Another repository by another machine, whose objects are swapped in; a place at the same path."""
        self._remove()
        other = Machine(self.above / "stranger home")
        for set_name in (DOCS, MAIL):
            assert self.run(self.back_up_order(set_name), other).done.exit_code == 0
        place = self.place
        self.place.rename(self.stranger)
        self.place = place

    def _copy_to(self, kept: Path) -> None:
        for name, path in (("place", self.place), ("home", self.machine.home)):
            shutil.copytree(path, kept / name, symlinks=True)

    def _remove(self) -> None:
        for path in (self.place, self.machine.home):
            shutil.rmtree(path, ignore_errors=True)


def _commits(step: Step) -> bool:
    return "/snapshots/" in step.other
