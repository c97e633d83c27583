"""The newest snapshot of a machine is found from the end: reading ten thousand of them takes long at a far store."""

from __future__ import annotations

from pathlib import Path

from backupd.operations.newest import newest_ns
from backupd.repository.records import Records
from backupd.snapshot.records import Snapshot
from tests.support.small_repository import SmallRepository, directory


class Counting(Records):
    """Notes how many snapshots are read."""

    read = 0

    def snapshot(self, name: str) -> Snapshot:
        self.read += 1
        return super().snapshot(name)


def test_each_set_is_read_from_its_end(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    laptop = [small.add(directory(), day=day) for day in range(4)]
    for day in range(2):
        small.add(directory(), day=day, host="phone")
    records = Counting(small.repository)
    assert newest_ns(records, lambda one: one.host_name == "laptop") == laptop[3].started_ns
    assert records.read == 1 + 2
    (newest,) = (name for name in records.snapshot_names() if name.session == laptop[3].id)
    (small.place / small.repository.text_id / newest.name).write_bytes(b"")
    assert newest_ns(Counting(small.repository), lambda one: one.host_name == "laptop") == laptop[2].started_ns
    assert newest_ns(records, lambda one: one.host_name == "other") is None
