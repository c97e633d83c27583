"""Which file system a device holds, found where the system shows devices, and where it hides them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.destination.device_ids import device_ids, device_number


def test_a_service_that_sees_no_devices_still_knows_its_drives(tmp_path: Path) -> None:
    """Under the unit /dev is empty: a drive that was carried over to another mount point would be lost."""
    (tmp_path / "block" / "sdb1").mkdir(parents=True)
    (tmp_path / "block" / "sdb1" / "dev").write_text("8:17\n")
    (tmp_path / "block" / "odd").mkdir()
    (tmp_path / "block" / "odd" / "dev").write_text("none\n")
    (tmp_path / "data").mkdir()
    entry = "S:disk/by-id/x\nE:ID_FS_UUID=AB CD\nE:ID_FS_UUID_ENC=AB\\x20CD\nG:systemd\n"
    (tmp_path / "data" / "b8:17").write_text(entry)
    block = str(tmp_path / "block")
    found = device_ids(str(tmp_path / "gone"), block, str(tmp_path / "data"))
    assert found == {os.makedev(8, 17): "AB\\x20CD"}
    assert device_number(b"/nowhere/sdb1", block) == os.makedev(8, 17)
    assert device_number(b"/nowhere/odd", block) is None
    assert device_ids(str(tmp_path / "gone"), str(tmp_path / "gone"), block) == {}


def test_a_volume_of_the_device_mapper_is_found_by_its_name(tmp_path: Path) -> None:
    """The mount table names /dev/mapper/vg-home, the system lists dm-3: an encrypted btrfs was no drive at all."""
    for listed, name, number in (("dm-0", "vg-root", "253:0"), ("dm-3", "vg-home", "253:3")):
        (tmp_path / listed / "dm").mkdir(parents=True)
        (tmp_path / listed / "dm" / "name").write_text(f"{name}\n")
        (tmp_path / listed / "dev").write_text(f"{number}\n")
    (tmp_path / "sda").mkdir()
    (tmp_path / "sda" / "dev").write_text("8:0\n")
    assert device_number(b"/dev/mapper/vg-home", str(tmp_path)) == os.makedev(253, 3)
    assert device_number(b"/dev/mapper/vg-gone", str(tmp_path)) is None
    assert device_number(b"/dev/mapper/sda", str(tmp_path)) is None, "a name of the mapper's is nobody else's"


@pytest.mark.root
def test_links_to_devices_are_read_where_there_are_any(tmp_path: Path) -> None:
    """As udev makes them on any other day."""
    os.mknod(tmp_path / "device", 0o60600, os.makedev(7, 200))
    (tmp_path / "by-uuid").mkdir()
    (tmp_path / "by-uuid" / "1234-ABCD").symlink_to("../device")
    (tmp_path / "by-uuid" / "dangling").symlink_to("../gone")
    assert device_ids(str(tmp_path / "by-uuid")) == {os.makedev(7, 200): "1234-ABCD"}
