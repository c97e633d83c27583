"""Little space at a destination (FEATURES 4.7): a run ends while there is room for its end, or before it begins."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from backupd.model.orders import BackupOrder, Limits
from tests.support.full_disk import Filled, Tmpfs
from tests.support.ledger import Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.mounting import enlarge, tmpfs
from tests.support.running import show

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount"),
    pytest.mark.usefixtures("quick_workers"),
]

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """100 MiB that nothing shrinks."""
    path, random = tmp_path / "source", Random(11)
    path.mkdir()
    for number in range(25):
        (path / str(number)).write_bytes(random.randbytes(4 * MIB))
    return path


def test_what_a_disk_took_before_it_was_almost_full_is_not_lost(tmp_path: Path, source: Path) -> None:
    """Else hours of a first run are read and sent again, for the disk was full in the middle of a block."""
    with tmpfs(tmp_path / "mount", "96m") as mount:
        ledger = Ledger(Machine(tmp_path / "home"), mount / "place")
        document = ledger.machine.json("once", source, "--to", ledger.place, "--name", "docs", "--jobs", "1")
        assert (document["exit"], document["error"]["code"]) == (16, "space.destination"), show(document)
        run = document["result"]["runs"][0]
        assert (run["incomplete"], run["destinations"][0]["verdict"]) == (True, "failed")
        partial = ledger.machine.json("snapshot", "list", "--incomplete", "--from", ledger.place)["result"]
        assert [one["id"] for one in partial["snapshots"]] == [run["snapshot"]]
        stored = ledger.block_bytes()
        assert stored > 8 * MIB
        enlarge(mount, "200m")
        document = ledger.machine.json("once", source, "--to", ledger.place, "--name", "docs")
        ledger.note(document, hash_tree(source))
        assert document["result"]["runs"][0]["destinations"][0]["stored_bytes"] + stored < 104 * MIB
        ledger.check_all(tmp_path, source)


def test_a_disk_without_room_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """Else each night fills the last bytes that others need to mend it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "0").write_bytes(b"first")
    with tmpfs(tmp_path / "mount", "24m") as mount:
        place, machine = mount / "place", Machine(tmp_path / "home")
        limits = Limits(jobs=1, polite=False)
        order = BackupOrder(place=str(place), sources=[bytes(source)], set_name="docs", limits=limits)
        assert machine.run(order).done.exit_code == 0
        (source / "0").write_bytes(b"changed")
        disk = Filled(mount, Tmpfs(mount))
        disk.fill(5 * MIB)
        before = {path for path in place.rglob("*") if path.is_file()}
        document = machine.json("once", source, "--to", place, "--name", "docs")
        assert (document["exit"], document["error"]["code"]) == (16, "space.destination"), show(document)
        assert str(place) in document["error"]["message"]
        assert {path for path in place.rglob("*") if path.is_file()} == before
        disk.make_room()
        assert machine.run(order).done.exit_code == 0


def test_runs_that_never_fit_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    """Else a disk that takes no more nights goes on being filled by part of each."""
    source, random = tmp_path / "source", Random(12)
    source.mkdir()
    with tmpfs(tmp_path / "mount", "128m") as mount:
        place, machine = mount / "place", Machine(tmp_path / "home")
        limits = Limits(jobs=1, polite=False)
        order = BackupOrder(place=str(place), sources=[bytes(source)], set_name="docs", limits=limits)
        for number in range(4):
            (source / str(number)).write_bytes(random.randbytes(10 * MIB))
            assert machine.run(order).done.exit_code == 0
        disk = Filled(mount, Tmpfs(mount))
        disk.fill(14 * MIB)
        document = machine.json("once", source, "--to", place, "--name", "docs")
        assert (document["exit"], document["error"]["code"]) == (16, "space.destination"), show(document)
        assert "each of the last 3 runs" in document["error"]["message"]
        disk.fill(32 * MIB)
        assert machine.json("once", source, "--to", place, "--name", "docs")["exit"] == 0
