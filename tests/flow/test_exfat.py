"""exFAT through FUSE: no links, no modes, no exclusive rename (DESIGN 8.5). What USB disks are bought with."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from backupd.destination.local import LocalDestination
from backupd.errors import ObjectExistsError
from tests.support.ledger import Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.mounting import exfat
from tests.support.seeded_tree import MIB, build_tree

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount"),
]


def test_a_repository_on_exfat_is_as_good_as_any(tmp_path: Path) -> None:
    """Else a backup to a stick as it comes from the shop fails, or is lost with its second run."""
    source = tmp_path / "source"
    build_tree(source, Random(1), 40 * MIB)
    with exfat(tmp_path / "mount", tmp_path / "image", 300 * MIB) as mount:
        ledger = Ledger(Machine(tmp_path / "home"), mount / "place")
        ledger.note(ledger.machine.json("once", source, "--to", ledger.place), hash_tree(source))
        ledger.check_all(tmp_path, source, is_exact=False)
        first = ledger.good.copy()
        (source / "new").write_bytes(b"new" * 1000)
        document = ledger.machine.json("once", source, "--to", ledger.place)
        ledger.note(document, hash_tree(source))
        assert document["result"]["runs"][0]["files"]["new"] == 1
        ledger.check_listed()
        assert len(ledger.good) == 2
        assert ledger.machine.json("check", "--crc", "--from", ledger.place)["exit"] == 0
        ledger.good = {snapshot: tree for snapshot, tree in ledger.good.items() if snapshot not in first}
        done = ledger.machine.bkctl("restore", source, "--from", ledger.place, "--strip", "--to", tmp_path / "restored")
        assert done.returncode == 0, done.stderr
        assert hash_tree(tmp_path / "restored" / source.name) == hash_tree(source)


def test_exfat_is_known_to_have_no_create_if_absent(tmp_path: Path) -> None:
    """Else two writers that commit at once both believe that they were first."""
    with exfat(tmp_path / "mount", tmp_path / "image", 32 * MIB) as mount:
        place = LocalDestination(str(mount), "test")
        place.put("a/b", [b"first"])
        assert not place.traits.create_if_absent
        with pytest.raises(ObjectExistsError):
            place.put("a/b", [b"second"])
        assert place.get("a/b") == b"first"
        assert [info.name for info in place.list("")] == ["a/b"]
        assert not list((mount / "a" / "tmp").iterdir())
