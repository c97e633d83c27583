"""What a run asks of its place after its snapshot stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.repository.records import Records
from backupd.snapshot.records import Snapshot
from tests.support.backing_up import Bench


def test_its_own_snapshot_is_read_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after it was stored; then its run knows what it says."""
    bench = Bench(tmp_path)
    bench.write("file")
    bench.back_up()
    read: list[str] = []
    snapshot = Records.snapshot

    def reading(self: Records, name: str) -> Snapshot:
        read.append(name)
        return snapshot(self, name)

    monkeypatch.setattr(Records, "snapshot", reading)
    bench.back_up()
    assert read.count(max(read)) == 1
