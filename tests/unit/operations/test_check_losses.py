"""How much a check says is lost: by that somebody decides whether to look for the other disk."""

from __future__ import annotations

import pytest

from backupd.operations import check_losses
from backupd.operations.check_losses import Losses
from backupd.repository.tree_check import Hit
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Kind


def _snapshot(number: int) -> Snapshot:
    return Snapshot(
        id=bytes([number]) * 16, set_id=bytes(16), set_name="home", host_id=bytes(16), host_name="desk",
        started_ns=number, finished_ns=number, is_complete=True, root=bytes(32), sources=[b"/"], owners=[],
        groups=[], file_count=5, byte_count=50, statistics={}, settings="", tags={},
    )  # fmt: skip


def _hit(name: str, size: int) -> Hit:
    entry = Entry(name.encode(), Kind.FILE, 0o600, 0, 0, 0, size, bytes(32))
    return Hit(b"/" + name.encode(), False, bytes(32), "", entry)


@pytest.mark.parametrize("most", [100, 3])
def test_a_file_that_many_snapshots_have_lost_counts_once(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Where more are lost than are told apart, five files of ten snapshots were told as nearly fifty."""
    monkeypatch.setattr(check_losses, "_MOST_PATHS", most)
    losses, snapshots = Losses(), [_snapshot(number) for number in range(10)]
    for one in snapshots:
        for number in range(5):
            losses.add(one, _hit(f"f{number}", 10))
    (found,) = losses.by_set(snapshots, set())
    assert (found.files, found.bytes, len(found.snapshots)) == (5, 50, 10)
