"""`free` after one that was broken off: it ends what stands there, and its figures are those of the place."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from backupd.errors import BackupError
from tests.support.disk_states import Disk
from tests.support.disk_trace import DEFECT, Fault, record
from tests.support.histories import History

pytestmark = pytest.mark.platform("linux")

_MIB = 1 << 20


@pytest.mark.parametrize("stop", ["gc/1.deleted", "blocks/"])
def test_figures_are_true_after_a_freeing_that_was_broken_off(tmp_path: Path, stop: str) -> None:
    """Else who frees again after a power cut reads that nothing was freed and that less than nothing is stored."""
    history = History(tmp_path, 12)
    first = history.back_up({"gone": 3 * _MIB, "stays": _MIB})
    history.remove("gone")
    history.back_up({"new": 10_000})
    history.drop(first)
    _break_off(history, stop)
    before = history.bench.stored_bytes()
    freed = history.free()
    after = history.bench.stored_bytes()
    assert freed["freed_bytes"] == before - after > 2.9 * _MIB
    assert freed["before"]["stored_bytes"] == before
    assert freed["after"]["stored_bytes"] == after
    assert _MIB < freed["before"]["data_bytes"] < 1.1 * _MIB
    history.check_all()


@pytest.mark.parametrize("what", ["free", "back up"])
def test_temporary_files_of_a_killed_freeing_go(tmp_path: Path, what: str) -> None:
    """Else each freeing that loses its power leaves a file in the cache, for ever."""
    history = History(tmp_path, 13)
    history.back_up({"file": 1000})
    history.free()
    found = list(tmp_path.glob("home/cache/backupd/r*/*/index.seen"))
    left = [path.with_name(f"{path.name}.{2**31 - 1}.tmp") for path in found]
    assert left
    for path in left:
        path.write_bytes(b"half")
    if what == "free":
        history.free()
    else:
        history.back_up({"file": 2000})
    assert not [path for path in left if path.exists()]


def _break_off(history: History, stop: str) -> None:
    """A freeing whose disk fails for good right before it makes or removes what is named so."""

    def free() -> int:
        try:
            history.free()
        except BackupError as error:
            return error.exit_code
        return 0

    roots = (history.bench.place, history.bench.machine.home)
    disk = Disk(map(str, roots))
    disk.load()
    steps = record(roots, free).steps
    kinds = ("create", "link", "unlink") if stop.startswith("gc/") else ("unlink",)
    found = (number for number, step in enumerate(steps, 1) if step.kind in kinds and stop in step.path + step.other)
    disk.lay()
    assert record(roots, free, Fault(next(found), errno.EIO, is_lasting=True)).exit_code not in (0, DEFECT)
