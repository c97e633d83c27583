"""A source that changes, its snapshots, and what each of them held: for tests of what deletes."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from backupd.model.orders import CheckOrder, FreeOrder, RestoreOrder, Selection, SnapshotListOrder
from backupd.repository.dropping import drop_snapshots
from backupd.repository.records import Records
from backupd.snapshot import naming
from tests.support.backing_up import Bench


class History:
    """Snapshots of one set at one place."""

    def __init__(self, above: Path, seed: int) -> None:
        self.bench, self.random = Bench(above), Random(seed)
        self.trees: dict[str, dict[str, bytes]] = {}
        """Content by path, by snapshot; of those that were not dropped."""

    def back_up(self, files: dict[str, int]) -> str:
        """Write files of so many random bytes, then run; the id of the snapshot."""
        for name, size in files.items():
            self.bench.write(name, self.random.randbytes(size))
        (run,) = self.bench.back_up().result["runs"]
        self.note(run["snapshot"])
        return str(run["snapshot"])

    def note(self, snapshot: str) -> None:
        """That is what the source held when that snapshot was made."""
        self.trees[snapshot] = tree_of(self.bench.source)

    def remove(self, *names: str) -> None:
        """Files of the source go."""
        for name in names:
            (self.bench.source / name).unlink()

    def drop(self, *snapshots: str) -> None:
        """As retention does it."""
        records = self.records()
        names = [
            name.name
            for name in records.snapshot_names()
            if naming.snapshot_id_text(records.snapshot(name.name).id) in snapshots
        ]
        assert len(names) == len(snapshots)
        drop_snapshots(records, names, self.bench.clock.now_ns(), bytes(16), "a test")
        for snapshot in snapshots:
            del self.trees[snapshot]

    def records(self) -> Records:
        """Of the repository as it is now."""
        return self.bench.machine.records(str(self.bench.place), self.bench.clock)

    def free(self, **options: Any) -> dict[str, Any]:
        """The result of a freeing."""
        return self.bench.machine.run(self.order(**options), self.bench.clock).result

    def order(self, **options: Any) -> FreeOrder:
        """To free space there."""
        return FreeOrder(place=str(self.bench.place), **options)

    def check_all(self) -> None:
        """Every snapshot that was not dropped is listed and gives back what it held; a check finds nothing."""
        machine, place = self.bench.machine, self.bench.place
        listed = machine.run(SnapshotListOrder(place=str(place))).result["snapshots"]
        assert {one["id"] for one in listed} == set(self.trees)
        assert machine.run(CheckOrder(place=str(place), crc=True)).result["problems"] == []
        for snapshot, tree in self.trees.items():
            target = self.bench.above / f"back-{os.urandom(4).hex()}"
            machine.run(RestoreOrder(place=str(place), selection=Selection(as_of=snapshot), to=bytes(target)))
            assert tree_of(target / str(self.bench.source)[1:]) == tree


def tree_of(root: Path) -> dict[str, bytes]:
    """Content by path of all files."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
