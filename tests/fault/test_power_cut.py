"""Power cuts at any moment (RELIABILITY C3): nothing that was reported is lost, and the next run needs no help.

The real program runs on ext4 in loop-mounted images, which are shut down under it and mounted again as after a reboot.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from backupd.destination.local import LocalDestination
from backupd.durable_io import write_temporary
from backupd.errors import BackupError, DestinationError
from backupd.operations.places import closed, remove_dead_temporaries
from backupd.settings.writer_mark import WriterMark
from tests.fault.conftest import Faults
from tests.support.cut_ground import (
    Ground,
    Measured,
    changed,
    cut_once,
    draw_moment,
    kept,
    measure,
    nothing_kept,
    renamed,
)
from tests.support.full_disk import run_injected
from tests.support.ledger import hash_tree
from tests.support.power_cut import LOG_LOST, CutDisk, taken_away
from tests.support.running import Run, show

pytestmark = [
    pytest.mark.alone,
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount", "mkfs.ext4", "e2fsck", "strace"),
    pytest.mark.usefixtures("quick_workers"),
]

_PASSWORD = b"a password of the tests"
_BACKUP_LAYOUTS = (("r",), ("s+c",), ("r", "s+c"), ("r+s+c",), ("s",))
_RESTORE_LAYOUTS = (("t",), ("s+c",), ("s+c+t",), ("r", "t"))


def _nothing_more(ground: Ground, is_good: bool) -> None:
    """The oracle says it all."""


def _restore_again(ground: Ground, is_good: bool) -> None:
    """What was said to be restored is; if nothing was said, the same command brings all of it."""
    found = ground.target / str(ground.source)[1:]
    if is_good:
        assert hash_tree(found) == ground.tree_hash, "said to be restored, and is not"
    document = Run(ground.machine, *ground.restore()).end()
    assert document["exit"] == 0, show(document)
    assert hash_tree(found) == ground.tree_hash, "restored again, and is not"


def _password_opens(ground: Ground, is_good: bool) -> None:
    if is_good:
        path = ground.above / "password"
        proved = ground.machine.json("key", "list", "--from", ground.place, "--password-file", path)
        assert proved["exit"] == 0, proved


def _add_key(ground: Ground) -> tuple[str, ...]:
    path = ground.above / "password"
    path.write_bytes(_PASSWORD)
    path.chmod(0o600)
    return ("key", "add", "--from", str(ground.place), "--label", "second", "--new-password-file", str(path))


@dataclass(frozen=True)
class Operation:
    """What is cut, where it begins, which disks are cut."""

    prepare: Callable[[Ground], None]
    words: Callable[[Ground], tuple[str, ...]]
    layouts: tuple[tuple[str, ...], ...] = _BACKUP_LAYOUTS
    look: Callable[[Ground, bool], None] = _nothing_more
    weight: int = 1


OPERATIONS = {
    "first backup": Operation(nothing_kept, Ground.once, weight=3),
    "incremental": Operation(changed, Ground.once, weight=3),
    "known content": Operation(renamed, Ground.once, weight=2),
    "restore": Operation(kept, Ground.restore, _RESTORE_LAYOUTS, _restore_again, weight=3),
    "check": Operation(kept, lambda ground: ("check", "--crc", "--from", str(ground.place), "--jobs", "1")),
    "key add": Operation(kept, _add_key, look=_password_opens),
    "key rotate": Operation(kept, lambda ground: ("key", "rotate", "--from", str(ground.place))),
}


@dataclass
class Campaign:
    """Cuts of all operations; grounds are made once."""

    above: Path
    images: Path
    random: Random
    grounds: dict[str, Ground]
    measured: dict[str, Measured]
    failures: list[str] = field(default_factory=list)

    def cut(self, name: str, counted: Counter[str], most: int) -> None:
        """One round, of up to three cuts of which each meets the run that goes on after the last one."""
        operation, random = OPERATIONS[name], self.random
        ground = self._ground(operation)
        layout, mode = random.choice(operation.layouts), random.choice(("ordered", "writeback"))
        words = operation.words(ground)
        measured = self._measure(name, ground, words)
        goes_on = operation.words == Ground.once and random.random() < 0.3
        moments = [draw_moment(random) for _ in range(min(most, random.randint(2, 3) if goes_on else 1))]
        try:
            cut_once(ground, words, layout, mode, moments, measured, counted, operation.look)
        except (AssertionError, BackupError) as error:
            self.failures.append(f"{name} on {layout}, data={mode}, {moments}: {type(error).__name__} {error}")

    def _ground(self, operation: Operation) -> Ground:
        name = operation.prepare.__name__
        if name not in self.grounds:
            self.grounds[name] = ground = Ground(self.above / name, self.random, self.images)
            operation.prepare(ground)
            ground.save()
        return self.grounds[name]

    def _measure(self, name: str, ground: Ground, words: tuple[str, ...]) -> Measured:
        if name not in self.measured:
            layouts = OPERATIONS[name].layouts
            folders = sorted({folder for layout in layouts for word in layout for folder in word.split("+")})
            self.measured[name] = measure(ground, words, folders)
        return self.measured[name]


def test_a_power_cut_loses_nothing_that_was_reported(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a cable that is pulled in the evening takes yesterday's backup along, or the key, or needs a repairer."""
    random = faults.random()
    campaign = Campaign(tmp_path, images, random, {}, {})
    counted: Counter[str] = Counter()
    names = [name for name, operation in OPERATIONS.items() for _ in range(operation.weight)]
    wanted = max(1, faults.cuts - faults.daemon_cuts)
    while counted["cuts"] < wanted:
        name = random.choice(names)
        before = counted["cuts"]
        campaign.cut(name, counted, wanted - before)
        counted[name] += counted["cuts"] - before
        if counted["cuts"] // 20 > before // 20:
            print(dict(counted), *campaign.failures, sep="\n")  # noqa: T201 - counts for docs/reliability.md
    assert not campaign.failures, "\n".join(campaign.failures)


def test_what_a_restore_wrote_before_a_cut_is_written_again(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a file of which size and time came to the disk, but no bytes, is taken for restored: full of zeros."""
    ground = Ground(tmp_path / "g", faults.random(), images)
    kept(ground)
    ground.save()
    disks = ground.disks(("t",), "ordered")
    with taken_away(*disks):
        ground.lay(disks)
        command = [sys.executable, "-P", "-m", "bkctl", *ground.restore(), "--json"]
        done = run_injected(ground.machine, command, "syncfs:error=EIO")
        assert json.loads(done.stdout)["error"]["code"] == "target.failed", done
        for disk in disks:
            disk.write_elsewhere()
            disk.cut(LOG_LOST)
            disk.recover()
        torn = ground.target / str(ground.source)[1:] / "sparse"
        before = torn.stat()
        assert before.st_size == (ground.source / "sparse").stat().st_size
        if torn.read_bytes().strip(b"\0"):
            # Somebody else on this machine made the kernel write meanwhile: it is laid as it else comes back.
            torn.write_bytes(bytes(before.st_size))
            os.utime(torn, ns=(before.st_atime_ns, before.st_mtime_ns))
        _restore_again(ground, False)


def test_what_was_restored_below_another_mount_is_there_after_a_cut(
    tmp_path: Path, images: Path, faults: Faults
) -> None:
    """Else `--original` with /home on a disk of its own says that all is restored, and a power cut takes it away."""
    ground = Ground(tmp_path / "g", faults.random(), images)
    kept(ground)
    ground.save()
    found = ground.target / str(ground.source)[1:]
    disk = CutDisk(images / "home.img", found / "d1", "ordered")
    ground.lay(())
    with taken_away(disk):
        found.mkdir(parents=True)
        disk.make()
        document = Run(ground.machine, *ground.restore()).end()
        assert document["exit"] == 0, show(document)
        disk.cut(LOG_LOST)
        disk.recover()
        assert hash_tree(found / "d1") == hash_tree(ground.source / "d1"), "said to be restored, and is not"


def test_temporary_files_on_a_disk_that_was_pulled_are_removed_later(tmp_path: Path, images: Path) -> None:
    """Else each time that a disk is pulled it comes back with up to a block of rubbish that nobody ever removes."""
    disk = CutDisk(images / "pulled.img", tmp_path / "disk", "ordered")
    state = str(tmp_path / "state")
    with taken_away(disk):
        disk.make()
        with WriterMark(state, "place", "mine") as mark:
            local = LocalDestination(str(disk.path), "mine")
            with closed(local, mark):
                local.put("r/some", [b"bytes"])
                write_temporary(str(disk.path / "r" / "tmp" / "mine-2"), [b"under way"])
                disk.cut(LOG_LOST)
                with pytest.raises(DestinationError):
                    local.put("r/other", [b"bytes"])
        disk.recover()
        left = disk.path / "r" / "tmp" / "mine-2"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"under way")
        with WriterMark(state, "place", "later") as mark:
            local = LocalDestination(str(disk.path), "later")
            with closed(local, mark):
                remove_dead_temporaries(mark, local, "r")
        assert not left.exists()
    assert not list((tmp_path / "state" / "writers").iterdir())
