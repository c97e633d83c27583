"""Which devices lie on a device, by a tree as the system has it below /sys."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from backupd.operations.streams import doubts
from tests.support.dead_share import dead_share
from tests.support.mounting import drive, unmount


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


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("losetup", "mkfs.ext4", "mount", "umount")
def test_a_dead_share_keeps_no_run_from_looking_at_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mounted may call itself what it likes, as a directory of a share; and an image may lie on one."""
    monkeypatch.setattr(doubts, "_PATIENCE_SECONDS", 0.2)
    (tmp_path / "named").mkdir()
    with drive(tmp_path / "image", 16 << 20) as plugged, dead_share(tmp_path / "share") as share:
        subprocess.run(["mount", "-i", "-c", "-t", "tmpfs", share / "some", tmp_path / "named"], check=True)
        try:
            plugged.mount(tmp_path / "seen")
            found: list[str] = []
            for path in (plugged.device, str(share / "image")):
                asking = threading.Thread(target=lambda asked: found.append(doubts._mounted_at(asked)), args=(path,))
                asking.start()
                asking.join(5)
            assert found == [str(tmp_path / "seen"), ""]
        finally:
            unmount(tmp_path / "named")


def _on(name: str, numbers: dict[str, str]) -> set[int]:
    return doubts._with_all_on_it(_device(numbers[name]))


def _device(number: str) -> int:
    major, _, minor = number.partition(":")
    return os.makedev(int(major), int(minor))
