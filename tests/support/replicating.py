"""A history of a source at one place, and each of its states kept, for tests that copy it to another place."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from backupd.block.layout import BLOCK_HEADER_BYTES, TREE, unpack_header
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import (
    BackupOrder,
    CheckOrder,
    KeyOrder,
    Limits,
    Order,
    ReplicateOrder,
    RestoreOrder,
    Selection,
    SnapshotListOrder,
)
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.operations.snapshot_listing import list_snapshots
from backupd.settings import directories
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from tests.support.compare import compare_trees
from tests.support.machine import LaterClock, Machine, Outcome

_CHUNK_BYTES = 4096
"""Small, so that a file of MiBs has lists of its chunks."""
_LIMITS = Limits(jobs=1, polite=False)
SET = "docs"


@dataclass
class History:
    """One machine, a source that changes, the place of its backups and the one that they are copied to."""

    above: Path
    random: Random = field(default_factory=lambda: Random(7))
    clock: LaterClock = field(default_factory=LaterClock)
    states: dict[str, Path] = field(default_factory=dict)
    """By snapshot: the source as it was."""

    def __post_init__(self) -> None:
        """Name the directories, make the source."""
        self.machine = Machine(self.above / "home")
        self.source, self.old, self.new = (self.above / name for name in ("source", "old", "new"))
        self.source.mkdir()

    # The source

    def begin(self, large_bytes: int = 5 << 19) -> None:
        """Small files, a large one with lists of its chunks, a sparse one, hard links, a long attribute, odd names."""
        for number in range(30):
            self.write(f"folder {number % 4}/file {number}", self.random.randrange(1, 40_000))
        self.write("large", large_bytes)
        os.link(self.source / "large", self.source / "folder 1" / "same inode")
        with (self.source / "sparse").open("wb") as file:
            file.truncate(9 << 20)
            file.seek(5 << 20)
            file.write(self.random.randbytes(70_000))
        os.symlink("large", self.source / "link")
        os.setxattr(self.source / "folder 2", "user.long", self.random.randbytes(2000))
        (self.source / "empty").mkdir()
        self.write("odd \udcff name", 100)

    def change(self, number: int) -> None:
        """A few files new, changed, renamed, gone; a stretch of the large one anew."""
        self.write(f"folder {number}/new {number}", 50_000)
        self.write(f"folder 3/file {4 * number + 3}", 10_000)
        (self.source / f"folder 0/file {4 * number}").rename(self.source / f"moved {number}")
        (self.source / f"folder 1/file {4 * number + 1}").unlink()
        with (self.source / "large").open("r+b") as file:
            file.seek(number << 19)
            file.write(self.random.randbytes(9000))

    def write(self, name: str, size_bytes: int) -> Path:
        """A file of the source with bytes that nothing else has."""
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.random.randbytes(size_bytes))
        return path

    # What is done

    def run(self, order: Order) -> Outcome:
        """Carry an order out, later than the one before. Raises BackupError."""
        self.clock.ahead_seconds += 120
        return self.machine.run(order, self.clock)

    def back_up(self, place: Path | None = None, **options: Any) -> str:
        """A snapshot at the old place, its state kept; its id."""
        options = {"chunk_size_bytes": _CHUNK_BYTES, **options}
        order = BackupOrder(
            place=str(place or self.old), sources=[bytes(self.source)], set_name=SET, limits=_LIMITS, **options
        )
        (run,) = self.run(order).result["runs"]
        assert run["exit"] == 0, run
        snapshot: str = run["snapshot"]
        self.states[snapshot] = self.above / "states" / snapshot
        self.states[snapshot].parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", self.source, self.states[snapshot]], check=True)
        return snapshot

    def live(self, count: int = 4) -> list[str]:
        """So many snapshots with changes between them."""
        self.begin()
        made = [self.back_up()]
        for number in range(1, count):
            self.change(number % 4)
            made.append(self.back_up())
        return made

    def replicate(self, **options: Any) -> dict[str, Any]:
        """Copy what is lacking; the result, with its exit code."""
        options.setdefault("to", str(self.new))
        done = self.run(ReplicateOrder(place=str(self.old), limits=_LIMITS, **options)).done
        return {**done.result, "exit": done.exit_code, "error": done.error, "warnings": done.warnings}

    def rotate_key(self, place: Path | None = None) -> None:
        """A new epoch."""
        self.run(KeyOrder(place=str(place or self.old), verb="rotate"))

    # What is looked at

    def snapshots(self, place: Path | None = None) -> dict[bytes, Snapshot]:
        """All that a place lists, by id."""
        order = SnapshotListOrder(place=str(place or self.new))
        found = directories.find(self.machine.environ)
        context = JobContext(order, SystemClock(), Cancel(), self.machine.environ, found, lambda _: None)
        listing = list_snapshots(open_place(context))
        assert not listing.damaged, listing.damaged
        assert len({at.snapshot.id for at in listing.found}) == len(listing.found)
        return {at.snapshot.id: at.snapshot for at in listing.found}

    def differences(self, snapshot: str, place: Path | None = None) -> list[str]:
        """What a restore of a snapshot from the new place has otherwise than the source had."""
        target = self.above / "restored"
        shutil.rmtree(target, ignore_errors=True)
        selection = Selection(set_name=SET, as_of=snapshot)
        order = RestoreOrder(place=str(place or self.new), selection=selection, to=bytes(target), limits=_LIMITS)
        assert self.run(order).done.exit_code == 0
        return compare_trees(self.states[snapshot], target / str(self.source)[1:])

    def check_copy(self, snapshots: list[str], *, is_each: bool = False) -> None:
        """The copy is whole by itself: every byte, all that snapshots need, and the last of these, or each, comes back.

        Of those that are not restored the check alone says that they are whole.
        """
        done = self.run(CheckOrder(place=str(self.new), crc=True, limits=_LIMITS)).done
        assert (done.exit_code, done.result["problems"]) == (0, []), done
        listed = {naming.snapshot_id_text(one) for one in self.snapshots()}
        assert listed >= set(snapshots)
        for snapshot in snapshots if is_each else snapshots[-1:]:
            assert self.differences(snapshot) == [], snapshot

    def blocks(self, place: Path, content: int | None = None) -> dict[bytes, Path]:
        """Blocks of a place by id; content: those of data, or of trees."""
        found: dict[bytes, Path] = {}
        for path in place.glob("r*/blocks/*/*"):
            block_id = bytes.fromhex(path.name)
            if content in (None, unpack_header(path.read_bytes()[:BLOCK_HEADER_BYTES], block_id).content):
                found[block_id] = path
        return found

    def tree_blocks(self, place: Path) -> dict[bytes, Path]:
        """Blocks with trees."""
        return self.blocks(place, TREE)

    def block_bytes(self, place: Path) -> int:
        """Of all blocks of a place."""
        return sum(path.stat().st_size for path in self.blocks(place).values())
