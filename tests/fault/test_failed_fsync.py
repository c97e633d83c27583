"""fsync fails once, at each of its calls (RELIABILITY C3): told or made good; no good run whose bytes are not there.

The kernel refuses the call of the real job process, and right after the run the power goes: what only that fsync would
have brought to the disk is lost indeed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.errors import BackupError
from tests.fault.conftest import Faults
from tests.support.cut_ground import Ground, changed, kept, nothing_kept
from tests.support.full_disk import run_injected, run_traced
from tests.support.ledger import hash_tree
from tests.support.power_cut import LOG_LOST, taken_away
from tests.support.running import show

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount", "mkfs.ext4", "e2fsck", "strace"),
    pytest.mark.usefixtures("quick_workers"),
]

_CALLS = "fsync,fdatasync,syncfs"
_POINTS = 2
"""Of each operation, at CI size; which ones is drawn."""
_CODES = {
    *("destination.failed", "space.destination", "state.failed", "space.state", "target.failed", "space.target"),
    # A new key that can't be brought to the disk is not kept there; a run without it is not begun.
    "answer.needed",
}


@pytest.mark.parametrize(
    "prepare",
    [nothing_kept, pytest.param(changed, marks=pytest.mark.nightly), kept],
    ids=["first", "incremental", "restore"],
)
def test_an_fsync_that_fails_is_told(
    tmp_path: Path, images: Path, faults: Faults, prepare: Callable[[Ground], None]
) -> None:
    """Else a disk that fails for a moment gives a backup, or a restore, that is said to be good and is not there."""
    random = faults.random()
    ground = Ground(tmp_path / "g", random, images)
    prepare(ground)
    ground.save()
    words = ground.restore() if prepare is kept else ground.once()
    command = [sys.executable, "-P", "-m", "bkctl", *words, "--json"]
    ground.lay(())
    points = range(1, _count(ground, command) + 1)
    counted: Counter[str] = Counter(points=len(points))
    failures = []
    for point in points if faults.is_full else random.sample(points, min(_POINTS, len(points))):
        for error in ("EIO", "ENOSPC") if faults.is_full else (random.choice(("EIO", "ENOSPC")),):
            try:
                counted[_fail(ground, command, point, error)] += 1
            except (AssertionError, BackupError) as found:
                failures.append(f"call {point} of {_CALLS} failed with {error}: {type(found).__name__} {found}")
    print(prepare.__name__, dict(counted))  # noqa: T201 - counts for docs/reliability.md
    assert not failures, "\n".join(failures)


def _count(ground: Ground, command: list[str]) -> int:
    """How many of these calls the busiest process makes."""
    lines = run_traced(ground.machine, command, _CALLS)
    by_process = Counter(line.split()[0] for line in lines if re.search(r"(fsync|fdatasync|syncfs)\(", line))
    return max(by_process.values())


def _fail(ground: Ground, command: list[str], point: int, error: str) -> str:
    disks = ground.disks(("r", "s+c", "t"), "ordered")
    with taken_away(*disks):
        ground.lay(disks)
        done = run_injected(ground.machine, command, f"{_CALLS}:error={error}:when={point}")
        for disk in disks:
            disk.cut(LOG_LOST)
        for disk in disks:
            disk.recover()
        document = json.loads(done.stdout)
        is_good = document["exit"] == 0
        assert is_good or document["error"]["code"] in _CODES, show(document) + done.stderr.decode()
        if document["command"] == "restore":
            found = ground.target / str(ground.source)[1:]
            assert not is_good or hash_tree(found) == ground.tree_hash, "said to be restored, and is not"
            again = ground.machine.json(*ground.restore())
            assert again["exit"] == 0, show(again)
            assert hash_tree(found) == ground.tree_hash, "restored again, and is not"
            ground.verify(0)
        else:
            if is_good:
                ground.ledger.note(document, ground.tree_hash)
            ground.verify(0 if is_good else 1, may_stay_announced=not is_good and not ground.begun)
    return "good" if is_good else "told"
