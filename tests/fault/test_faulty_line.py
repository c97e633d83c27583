"""Backups to a real S3 server over a line where a ninth of the requests goes wrong: nearly all finish, none lies."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import BackupError
from backupd.model.orders import BackupOrder, CheckOrder, Limits, RestoreOrder, Selection, SnapshotListOrder
from backupd.model.store_access import StoreAccess
from tests.fault.conftest import Faults
from tests.support.ledger import hash_tree
from tests.support.machine import LaterClock, Machine
from tests.support.seeded_tree import change_tree
from tests.support.servers import seaweedfs
from tests.support.servers.faulty_door import MIX, FaultyDoor
from tests.support.servers.seaweedfs import SeaweedFs

pytestmark = pytest.mark.usefixtures("quick_workers")

_SMALL = Limits(jobs=1, polite=False)
_RUNS, _IN_CI = 200, 2
_CHANGED_BYTES = 300_000
_ACCESS = StoreAccess(credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True, retry_seconds=60)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


def test_nearly_all_runs_finish_and_none_lies(weed: SeaweedFs, tmp_path: Path, faults: Faults) -> None:
    """Else a bad line costs every night's backup, or tells one as good that can't be restored."""
    random = faults.random()
    door = FaultyDoor(weed.port, random)
    place = f"s3://{seaweedfs.BUCKET}/line?endpoint=http://127.0.0.1:{door.port}"
    machine, clock, source = Machine(tmp_path / "home"), LaterClock(), tmp_path / "source"
    good: dict[str, str] = {}
    failed: list[str] = []
    count = _RUNS if faults.is_full else _IN_CI
    for _ in range(count):
        change_tree(source, random, _CHANGED_BYTES)
        clock.ahead_seconds += 120
        order = BackupOrder(place=place, access=_ACCESS, sources=[bytes(source)], set_name="s", limits=_SMALL)
        door.is_kind = False
        try:
            done = machine.run(order, clock).done
        except BackupError as error:
            failed.append(f"{error.code}: {error.message}")
            continue
        assert done.exit_code == 0, done.result
        good[done.result["runs"][0]["snapshot"]] = hash_tree(source)
    print(f"{count} runs, {len(failed)} failed: {failed}; {dict(door.done)}")  # noqa: T201 - the figures of a large run
    assert any(door.done[kind] for kind in MIX), "no request went wrong"
    door.is_kind = True
    assert len(failed) <= count // 200
    listed = machine.run(SnapshotListOrder(place=place, access=_ACCESS)).result["snapshots"]
    assert {one["id"] for one in listed} >= good.keys()
    assert len(listed) <= len(good) + len(failed)
    assert machine.run(CheckOrder(place=place, access=_ACCESS, crc=True, limits=_SMALL)).done.exit_code == 0
    for snapshot in [*good][:: max(1, len(good) // 10)]:
        target = tmp_path / "out"
        selection = Selection(as_of=snapshot)
        machine.run(
            RestoreOrder(place=place, access=_ACCESS, selection=selection, to=bytes(target), limits=_SMALL)
        )
        assert hash_tree(target / str(source)[1:]) == good[snapshot]
        shutil.rmtree(target)
    door.close()
