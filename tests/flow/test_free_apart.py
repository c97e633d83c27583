"""`free` of much that nobody needs: it goes while what is needed of other blocks is copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd import house
from backupd.cancel import Cancel
from backupd.errors import BackupError
from backupd.model import events
from backupd.operations.context import JobContext
from backupd.operations.freeing.compacting import Compaction
from backupd.settings import directories
from tests.support.histories import History

_MIB = 1 << 20


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    """Of its blocks many are needed by nobody, and some mostly by nobody."""
    history = History(tmp_path, 31)
    for number in range(5):
        mixed = history.back_up({f"stays{number}": 20_000, f"goes{number}": 300_000})
        history.remove(f"goes{number}")
        history.drop(mixed)
    for _ in range(10):
        history.drop(history.back_up({"changing": 100_000}))
    history.back_up({"changing": 50_000})
    return history


def test_copies_are_made_while_the_rest_is_deleted(history: History) -> None:
    """Else who frees waits for the disk first for the one, then for the other."""
    before, sent = history.bench.stored_bytes(), list[events.FromJob]()
    freed = house.run(history.order(), _context(history, sent)).result
    assert freed is not None
    steps = [event.name for event in sent if isinstance(event, events.Step)]
    deleting, copying = "delete blocks that nobody needs", "copy what is needed of blocks that are mostly dead"
    assert steps.count(copying) == 1
    assert steps.index(deleting) < steps.index(copying)
    assert deleting in steps[steps.index(copying) :]
    assert freed["rewritten"]["blocks"] >= 5
    assert freed["deleted"]["blocks"] >= 15
    assert freed["freed_bytes"] == before - history.bench.stored_bytes() > 2.4 * _MIB
    assert freed["after"]["stored_bytes"] == history.bench.stored_bytes()
    assert freed["waiting"] == []
    history.check_all()
    assert history.free()["freed_bytes"] == 0


def _context(history: History, sent: list[events.FromJob]) -> JobContext:
    machine = history.bench.machine
    found = directories.find(machine.environ)
    return JobContext(history.order(), history.bench.clock, Cancel(), machine.environ, found, sent.append)


def test_it_goes_on_where_it_was_broken_off_while_it_copied(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are being deleted then go with the next freeing, and nothing that is needed does."""
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise BackupError("broken off by a test")

        patched.setattr(Compaction, "run", fail)
        with pytest.raises(BackupError, match="broken off"):
            history.free()
    history.check_all()
    before = history.bench.stored_bytes()
    freed = history.free()
    assert freed["freed_bytes"] == before - history.bench.stored_bytes()
    assert freed["rewritten"]["blocks"] >= 5
    history.check_all()
    assert history.free()["freed_bytes"] == 0
