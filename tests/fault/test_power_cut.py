"""Power cuts at any moment (RELIABILITY C3): nothing that was reported is lost, and the next run needs no help.

The real program runs on ext4 in loop-mounted images, which are shut down under it and mounted again as after a reboot.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from backupd.errors import BackupError
from tests.fault.conftest import Faults
from tests.support.cut_ground import Ground, Measured, cut_once, draw_moment, measure
from tests.support.ledger import hash_tree
from tests.support.mounting import tmpfs
from tests.support.running import Run, show

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount", "mkfs.ext4", "e2fsck"),
]

_PASSWORD = b"a password of the tests"
_BACKUP_LAYOUTS = (("r",), ("s+c",), ("r", "s+c"), ("r+s+c",), ("s",))
_RESTORE_LAYOUTS = (("t",), ("s+c",), ("s+c+t",), ("r", "t"))


def nothing_kept(ground: Ground) -> None:
    """No repository yet."""


def kept(ground: Ground) -> None:
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


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Path]:
    """Disks lie in memory: what a cut leaves is the same, and no other test waits for them."""
    with tmpfs(tmp_path / "images", "512m") as path:
        yield path


def test_a_power_cut_loses_nothing_that_was_reported(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a cable that is pulled in the evening takes yesterday's backup along, or the key, or needs a repairer."""
    random = faults.random()
    campaign = Campaign(tmp_path, images, random, {}, {})
    counted: Counter[str] = Counter()
    names = [name for name, operation in OPERATIONS.items() for _ in range(operation.weight)]
    wanted = faults.cuts
    while counted["cuts"] < wanted:
        name = random.choice(names)
        before = counted["cuts"]
        campaign.cut(name, counted, wanted - before)
        counted[name] += counted["cuts"] - before
        if counted["cuts"] // 20 > before // 20:
            print(dict(counted), *campaign.failures, sep="\n")  # noqa: T201 - counts for docs/reliability.md
    assert not campaign.failures, "\n".join(campaign.failures)
