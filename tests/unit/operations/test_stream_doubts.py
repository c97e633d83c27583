"""Which devices lie on a device, by a tree as the system has it below /sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.operations.streams import doubts


def test_partitions_and_volumes_of_a_disk_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with two partitions, of which one is a member of an encrypted volume that holds a logical one."""
    numbers = {"vda": "254:0", "vda1": "254:1", "vda2": "254:2", "dm-0": "252:0", "dm-1": "252:1", "vdb": "254:16"}
    places = {"vda1": "vda/vda1", "vda2": "vda/vda2"}
    for name, number in numbers.items():
        folder = tmp_path / "block" / places.get(name, name)
        (folder / "holders").mkdir(parents=True)
        (folder / "dev").write_text(number + "\n")
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / number).symlink_to(folder)
    (tmp_path / "block" / "vda" / "vda2" / "holders" / "dm-0").symlink_to(tmp_path / "block" / "dm-0")
    (tmp_path / "block" / "dm-0" / "holders" / "dm-1").symlink_to(tmp_path / "block" / "dm-1")
    # As of a volume that takes from itself; and what makes no sense.
    (tmp_path / "block" / "dm-1" / "holders" / "dm-0").symlink_to(tmp_path / "block" / "dm-0")
    (tmp_path / "block" / "dm-1" / "queue").mkdir()
    (tmp_path / "block" / "dm-1" / "queue" / "dev").write_text("none\n")
    monkeypatch.setattr(doubts, "_BLOCK_DEVICES", str(tmp_path / "dev"))
    on_it = _on("vda", numbers)
    assert {name for name in numbers if _device(numbers[name]) in on_it} == set(numbers) - {"vdb"}
    assert len(_on("vda1", numbers)) == len(_on("vdb", numbers)) == 1


def _on(name: str, numbers: dict[str, str]) -> set[int]:
    return doubts._with_all_on_it(_device(numbers[name]))


def _device(number: str) -> int:
    major, _, minor = number.partition(":")
    return os.makedev(int(major), int(minor))
