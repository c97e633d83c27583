"""Ids of file systems as macOS tells them, and which mount shows a path."""

from __future__ import annotations

import plistlib

import pytest

from backupd.destination import volumes
from backupd.source.mounts import Mount


def _mount(path: bytes) -> Mount:
    return Mount(path=path, device=1, type="ext4", is_network=False)


def test_the_id_of_a_volume_is_read() -> None:
    assert volumes.parse_disk_information(plistlib.dumps({"VolumeUUID": "A-1", "MountPoint": "/Volumes/x"})) == "A-1"


@pytest.mark.parametrize(
    "text", [b"", b"<plist>", b"bplist00", plistlib.dumps([1]), plistlib.dumps({"VolumeUUID": 3}), b"\x00" * 50]
)
def test_what_tells_no_id_gives_none(text: bytes) -> None:
    assert volumes.parse_disk_information(text) is None


def test_the_last_and_deepest_mount_shows() -> None:
    mounts = [_mount(b"/"), _mount(b"/mnt"), _mount(b"/mnt/usb"), _mount(b"/mnt")]
    assert volumes.mount_over("/mnt/usb/backup", mounts) is mounts[2]
    assert volumes.mount_over("/mnt/usbstick", mounts) is mounts[3]
    assert volumes.mount_over("/home", mounts) is mounts[0]
    assert volumes.mount_over("/home", []) is None
