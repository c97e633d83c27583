"""What a run asks of its place after its snapshot stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.repository.records import Records
from backupd.snapshot.records import Snapshot
from tests.support.backing_up import Bench

_BASES = 4
"""So many snapshots a run looks at to go on from one."""


def _read_by_next_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the snapshots that a further run reads, each as often as it does."""
    read: list[str] = []
    snapshot = Records.snapshot

    def reading(self: Records, name: str) -> Snapshot:
        read.append(name)
        return snapshot(self, name)

    monkeypatch.setattr(Records, "snapshot", reading)
    bench.back_up()
    return read


def test_its_own_snapshot_is_read_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after it was stored; then its run knows what it says."""
    bench = Bench(tmp_path)
    bench.write("file")
    bench.back_up()
    read = _read_by_next_run(bench, monkeypatch)
    assert read.count(max(read)) == 1


def test_older_snapshots_are_not_read_at_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a set that is watched asks its store for each of ten thousand snapshots after every save."""
    bench = Bench(tmp_path)
    for number in range(12):
        bench.write(f"file{number}")
        bench.back_up()
    read = _read_by_next_run(bench, monkeypatch)
    assert len(set(read)) <= _BASES + 1, "its own, and those that it may go on from"
