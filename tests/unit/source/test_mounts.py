"""Mounts: a pseudo file system that is not known as one is read without end."""

from __future__ import annotations

import os

import pytest

from backupd.errors import BackupError
from backupd.source import mounts
from backupd.source.grafts import snapshot_directories
from backupd.source.mounts import Mount

MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime shared:12 - proc proc rw
27 1 8:1 / / rw - ext4 /dev/sda1 rw
40 27 0:50 / /mnt/my\040disk\134x rw master:3 propagate_from:2 - nfs4 server:/x rw
41 27 0:51 / /mnt/dav rw - fuse https://dav.example/ rw
42 27 0:52 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
43 27 0:53 / /mnt/ssh rw - fuse.sshfs anna@host: rw
44 27 0:54 / /mnt/noname rw - tmpfs  rw
""" + b"45 27 0:55 / /mnt/a\rb\x0bc rw - ext4 /dev/sdc1 rw\n"


def test_mountinfo_is_read_with_its_escapes() -> None:
    found = {mount.path: mount for mount in mounts.parse_mountinfo(MOUNTINFO)}
    assert found[b"/proc"] == Mount(
        path=b"/proc", device=os.makedev(0, 21), type="proc", is_network=False, source=b"proc", root=b"/", number=22
    )
    assert found[b"/"].device == os.makedev(8, 1)
    assert {path for path, mount in found.items() if mount.is_network} == {
        b"/mnt/my disk\\x", b"/mnt/dav", b"/mnt/ssh",
    }  # fmt: skip
    assert found[b"/mnt/a\rb\x0bc"].source == b"/dev/sdc1", "names hold what ends lines elsewhere"
    assert len(found) == 8


@pytest.mark.parametrize("line", [b"nonsense", b"1 2 x / /p rw - ext4 d rw", b"1 2 0:1 / /p rw ext4"])
def test_a_line_that_is_none_is_an_error_not_a_missing_mount(line: bytes) -> None:
    with pytest.raises(BackupError):
        mounts.parse_mountinfo(line)


def test_swap_partitions_are_no_files() -> None:
    text = (
        b"Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition\t1\t0\t-2\n"
        b"/swap\\040file        file\t\t1\t0\t-3\n/old\\040(deleted) file 1 0 -4\n"
    )
    assert mounts.parse_swaps(text) == [b"/swap file", b"/old (deleted)"]
    assert mounts.parse_swaps(b"") == []


@pytest.mark.platform("linux")
def test_this_machines_root_and_proc_are_seen() -> None:
    found = {mount.path: mount for mount in mounts.read_mounts()}
    assert found[b"/proc"].type == "proc"
    assert found[b"/proc"].device == os.stat("/proc").st_dev
    assert isinstance(mounts.swap_files(), list)


def test_the_macos_table_is_read() -> None:
    layout = mounts._STATFS
    assert layout.size == 2168

    def row(device: int, flags: int, kind: bytes, path: bytes) -> bytes:
        return layout.pack(4096, 4096, 0, 0, 0, 0, 0, device, 26, 0, 26, flags, 0, kind, path, b"from")

    raw = row(16777220, 0x1000, b"apfs", b"/") + row(5, 0, b"smbfs", b"/Volumes/x") + row(6, 0, b"macfuse", b"/m")
    assert mounts.parse_statfs(raw) == [
        Mount(path=b"/", device=16777220, type="apfs", is_network=False, source=b"from"),
        Mount(path=b"/Volumes/x", device=5, type="smbfs", is_network=True, source=b"from"),
        Mount(path=b"/m", device=6, type="macfuse", is_network=True, source=b"from"),
    ]


def test_snapshots_of_btrfs_are_known_at_each_path_that_shows_them() -> None:
    """The top of the disk and a subvolume of it are mounted, and a directory of that, and another disk."""
    rows = (b"/ /mnt/top /dev/a", b"/@ / /dev/a", b"/@/x /x /dev/a", b"/ /b /dev/b")
    table = b"".join(b"5 1 0:50 %s %s rw - btrfs %s rw\n" % tuple(row.split()) for row in rows)
    ours = b"/.backupd-snapshots"
    wanted = [b"", b"/b", b"/mnt/top", b"/mnt/top/@", b"/mnt/top/@/x", b"/x"]
    assert snapshot_directories(mounts.parse_mountinfo(table)) == [one + ours for one in wanted]
