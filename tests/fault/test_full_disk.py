"""No space (RELIABILITY C4): never a success without data, nothing half made, and the run after goes on by itself."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fault.conftest import Faults
from tests.support.ledger import SLACK_BYTES, Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.mounting import enlarge, tmpfs
from tests.support.seeded_tree import MIB, build_tree

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount"),
    pytest.mark.usefixtures("quick_workers"),
]

_LARGE = "400m"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of 50 MiB, of which about 28 MiB are stored."""
    path = tmp_path_factory.mktemp("full") / "source"
    build_tree(path, Random(4), 50 * MIB)
    return path


@pytest.mark.parametrize("size", ["16k", "20m"])
def test_a_full_destination_ends_with_16_and_the_next_run_goes_on(tmp_path: Path, source: Path, size: str) -> None:
    """Else a full disk is reported as a good backup, or has to be cleaned by hand before the next one."""
    assert len(_fill_destination(tmp_path, source, size).good) == 1


@pytest.mark.parametrize("inodes", [pytest.param(8, marks=pytest.mark.nightly), 16])
def test_a_destination_without_inodes_is_full(tmp_path: Path, source: Path, inodes: int) -> None:
    """Else only who asks for free bytes first learns that it is full: quotas and inodes end before they do."""
    assert len(_fill_destination(tmp_path, source, _LARGE, inodes).good) == 1


@pytest.mark.nightly
def test_a_destination_may_be_full_at_any_size(tmp_path: Path, source: Path, faults: Faults) -> None:
    """The same at sizes drawn anew each time: 20 in a full run."""
    random = faults.random()
    for number in range(20 if faults.is_full else 1):
        above = tmp_path / str(number)
        above.mkdir()
        size = f"{int(2 ** random.uniform(3, 13.5)) * 4}k"
        assert len(_fill_destination(above, source, size).good) == 1, size


def _fill_destination(tmp_path: Path, source: Path, size: str, inodes: int = 0) -> Ledger:
    """Two runs without room, one with."""
    with tmpfs(tmp_path / "mount", size, inodes) as mount:
        ledger = Ledger(Machine(tmp_path / "home"), mount / "place")
        for _ in range(2):
            document = ledger.machine.json("once", source, "--to", ledger.place, "--name", "full")
            assert (document["exit"], document["error"]["code"]) == (16, "space.destination"), document
        assert all(one["incomplete"] for one in _listed(ledger))
        stored = ledger.block_bytes()
        enlarge(mount, _LARGE)
        document = ledger.machine.json("once", source, "--to", ledger.place, "--name", "full")
        ledger.note(document, hash_tree(source))
        new_bytes = document["result"]["runs"][0]["destinations"][0]["stored_bytes"]
        assert new_bytes + stored <= ledger.block_bytes() + SLACK_BYTES
        ledger.check_all(tmp_path, source)
    return ledger


def test_a_disk_that_fills_up_later_keeps_what_was_good(tmp_path: Path, source: Path) -> None:
    """Else the backup of yesterday is lost with the space for today's."""
    with tmpfs(tmp_path / "mount", "60m") as mount:
        ledger = Ledger(Machine(tmp_path / "home"), mount / "place")
        ledger.note(ledger.machine.json("once", source, "--to", ledger.place), hash_tree(source))
        first_hash = ledger.good.copy()
        (source / "more").write_bytes(Random(5).randbytes(40 * MIB))
        document = ledger.machine.json("once", source, "--to", ledger.place)
        assert document["exit"] == 16, document
        assert ledger.good == first_hash
        ledger.check_listed()
        (source / "more").unlink()


@pytest.mark.parametrize("size", ["8k", pytest.param("32k", marks=pytest.mark.nightly)])
def test_a_full_state_directory_ends_with_16_and_the_next_run_goes_on(
    tmp_path: Path, source: Path, size: str
) -> None:
    """Else a full /var loses the backup of all other disks."""
    home = tmp_path / "home"
    home.mkdir()
    with tmpfs(home / "state", size) as state:
        (home / "cache").symlink_to(state)
        ledger = Ledger(Machine(home), tmp_path / "place")
        document = ledger.machine.json("once", source, "--to", ledger.place, "--name", "full")
        assert (document["exit"], document["error"]["code"]) == (16, "space.state"), document
        # No checkpoint can be kept without the state, so that not even a partial one is there.
        assert _listed(ledger) == []
        enlarge(state, _LARGE)
        ledger.note(ledger.machine.json("once", source, "--to", ledger.place, "--name", "full"), hash_tree(source))
        ledger.check_all(tmp_path, source)


def _listed(ledger: Ledger) -> list[dict[str, Any]]:
    """All snapshots, partial ones too; none where nobody made a repository yet."""
    document = ledger.machine.json("snapshot", "list", "--incomplete", "--from", ledger.place)
    assert document["exit"] in (0, 10), document
    found: list[dict[str, Any]] = document["result"]["snapshots"] if document["exit"] == 0 else []
    return found
