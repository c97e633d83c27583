"""The index can always be made again from blocks; what a stopped run left is no damage; sets that run are skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from tests.support import damaging
from tests.support.rich_repository import RichRepository
from tests.support.small_repository import Node, directory


@pytest.fixture
def rich(tmp_path: Path) -> RichRepository:
    return RichRepository(tmp_path)


def _is_whole(rich: RichRepository) -> bool:
    return all(data == rich.files[snapshot][path] for (snapshot, path), data in rich.read_all().items())


def test_a_lost_index_is_made_again_from_the_blocks(rich: RichRepository) -> None:
    """Without an index nobody finds a file among the blocks."""
    shutil.rmtree(rich.folder / "index")
    assert rich.check().exit_code == 20
    assert not _is_whole(rich)
    outcome = rich.check(rebuild_index=True, home="other")
    assert outcome.exit_code == 0, outcome.result
    assert outcome.result["rebuilt"]["blocks"] == 4
    assert outcome.result["rebuilt"]["objects"] == 1
    assert _is_whole(rich)
    assert rich.check(crc=True, rebuild_index=True).result["rebuilt"] == {"blocks": 0, "chunks": 0, "objects": 0}


@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_index_object_is_replaced(rich: RichRepository, which: int) -> None:
    """It stays where it lies, but nobody asks it any more and check is content."""
    damaging.flip(0.5)(rich.objects("index")[which])
    assert rich.check().exit_code == 20
    outcome = rich.check(rebuild_index=True)
    assert outcome.exit_code == 0, outcome.result
    assert outcome.result["rebuilt"]["blocks"] == 2
    assert _is_whole(rich)
    assert rich.check(home="other").exit_code == 0
    assert len(rich.objects("index")) == 3


def test_an_index_object_whose_chunks_all_stand_elsewhere_is_replaced(rich: RichRepository) -> None:
    """Damage must not stay for ever only because nothing was lost by it."""
    spoilt = rich.objects("index")[0]
    kept = spoilt.read_bytes()
    spoilt.unlink()
    assert rich.check(rebuild_index=True).exit_code == 0
    spoilt.write_bytes(kept[:-1])
    assert rich.check().exit_code == 20
    outcome = rich.check(rebuild_index=True)
    assert outcome.exit_code == 0
    assert outcome.result["rebuilt"] == {"blocks": 0, "chunks": 0, "objects": 1}
    assert rich.check(home="other").exit_code == 0


@pytest.mark.parametrize("damage", ["a bit at the end", "a bit at the beginning"])
def test_blocks_whose_end_or_beginning_is_damaged_are_walked(rich: RichRepository, damage: str) -> None:
    """A block's directory repeats what its frames say, so either may be lost."""
    for path in rich.objects("blocks"):
        damaging.DAMAGES[damage](path)
    shutil.rmtree(rich.folder / "index")
    outcome = rich.check(rebuild_index=True)
    assert outcome.result["rebuilt"]["blocks"] == 4
    assert outcome.result["files_hit"] == []
    assert _is_whole(rich)
    outcome = rich.check(crc=True)
    assert outcome.exit_code == 20
    assert outcome.result["files_hit"] == []
    assert outcome.result["recorded"] == {"blocks": 0, "chunks": 0}


def test_a_block_that_no_index_names_is_no_damage(rich: RichRepository) -> None:
    """A stopped run leaves some; who reads of damage each time stops reading."""
    before = set(rich.objects("index"))
    snapshot = rich.small.add(directory(more=Node(os.urandom(5000))), day=3)
    name = naming.snapshot_name(snapshot.set_id, snapshot.started_ns, snapshot.id)
    (rich.folder / name).unlink()
    for path in set(rich.objects("index")) - before:
        path.unlink()
    outcome = rich.check(crc=True)
    assert outcome.exit_code == 0
    assert outcome.result["orphans"]["blocks"] == 2


def test_a_wrong_table_of_this_host_misleads_nobody(rich: RichRepository) -> None:
    """Check looks at the destination, not at what this host remembers of it."""
    assert rich.check().exit_code == 0
    damaging.flip(0.5)(rich.objects("index")[0])
    assert rich.check().exit_code == 20
    assert rich.check(rebuild_index=True).exit_code == 0
    tables = list((rich.above / "home").rglob("*.table"))
    assert tables
    for path in tables:
        damaging.flip(0.9)(path)
    assert rich.check(crc=True).exit_code == 0


def test_a_set_with_a_running_job_is_skipped(rich: RichRepository) -> None:
    """A check must not stand in the way of a backup, nor report what is half done."""
    assert rich.check().exit_code == 0
    set_id = next(iter(rich.objects("snapshots"))).parent.name
    lock = SetLock(str(rich.above / "home/state/backupd"), set_id)
    lock.acquire(SystemClock())
    with lock:
        outcome = rich.check()
    assert (outcome.exit_code, outcome.code) == (11, "set.busy")
    assert outcome.result["snapshots"] == 0
    assert outcome.result["skipped"][0]["set"] == "documents"


def test_what_was_stored_again_is_healed(rich: RichRepository) -> None:
    """After the next backup stored lost chunks again, monitoring must turn green by itself."""
    damaging.flip(0.5)(rich.one_of("data block"))
    outcome = rich.check(crc=True)
    assert outcome.exit_code == 20
    assert outcome.result["recorded"]["chunks"] == 1
    assert len(rich.objects("damage")) == 2
    assert rich.check(crc=True).exit_code == 20
    assert len(rich.objects("damage")) == 2, "a place is recorded once"
    everything = {path: data for files in rich.files.values() for path, data in files.items()}
    home = directory(**{path.decode().rpartition("/")[2]: Node(data) for path, data in everything.items()})
    rich.files[rich.small.add(directory(home=home), day=5).id] = everything
    for crc in (False, True):
        outcome = rich.check(crc=crc)
        assert outcome.exit_code == 0, outcome.result
    assert _is_whole(rich)
