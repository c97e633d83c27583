"""Symlinks, FIFOs, devices, sockets and further names of one inode."""

from __future__ import annotations

import os
import stat as modes

import pytest

from backupd.errors import TargetError
from backupd.inode_io import LINUX_FLAGS, read_flags, write_flags
from backupd.target.files import write_file
from backupd.target.nodes import create_node, link
from backupd.tree.entry import Device, Kind
from tests.unit.target.conftest import MTIME_NS, Make, Place


@pytest.mark.root
@pytest.mark.parametrize("replace", [False, True])
def test_each_kind_is_made_and_replaces(place: Place, wanted: Make, replace: bool) -> None:
    cases = {
        Kind.SYMLINK: (b"\xff/nowhere", modes.S_IFLNK, 0),
        Kind.FIFO: (None, modes.S_IFIFO, 0),
        Kind.SOCKET: (None, modes.S_IFSOCK, 0),
        Kind.CHARACTER_DEVICE: (Device(511, 70_000), modes.S_IFCHR, os.makedev(511, 70_000)),
        Kind.BLOCK_DEVICE: (Device(7, 200), modes.S_IFBLK, os.makedev(7, 200)),
    }
    for kind, (content, mode, rdev) in cases.items():
        name = kind.name.encode()
        if replace:
            (place.root / kind.name).write_bytes(b"old")
        given = wanted(kind, mode=0o604, content=content, owner=(3, 4))
        assert create_node(place.fd, name, given, replace=replace) == []
        stat = os.stat(name, dir_fd=place.fd, follow_symlinks=False)
        assert (modes.S_IFMT(stat.st_mode), stat.st_rdev, stat.st_mtime_ns) == (mode, rdev, MTIME_NS)
        assert (stat.st_uid, stat.st_gid) == (3, 4)
        assert kind == Kind.SYMLINK or modes.S_IMODE(stat.st_mode) == 0o604
    assert os.readlink(b"SYMLINK", dir_fd=place.fd) == b"\xff/nowhere"
    assert len(os.listdir(place.root)) == len(cases)


def test_full_directory_in_the_way_stays(place: Place, wanted: Make) -> None:
    (place.root / "name" / "below").mkdir(parents=True)
    with pytest.raises(TargetError, match="not empty"):
        create_node(place.fd, b"name", wanted(Kind.FIFO), replace=True)
    assert os.listdir(place.root) == ["name"]
    (place.root / "name" / "below").rmdir()
    assert create_node(place.fd, b"name", wanted(Kind.FIFO), replace=True) == []


def test_links_across_directories_and_of_symlinks(place: Place, wanted: Make) -> None:
    one, _ = place.directories.make(b"one")
    other, _ = place.directories.make(b"other")
    write_file(one, b"file", [b"x"], wanted(size=1))
    create_node(one, b"link", wanted(Kind.SYMLINK, content=b"file"))
    for name in (b"file", b"link"):
        assert link((one, name), other, name)
        assert link((one, name), other, name), "again: it is linked already"
        first, second = (os.stat(name, dir_fd=fd, follow_symlinks=False) for fd in (one, other))
        assert (first.st_ino, first.st_nlink) == (second.st_ino, 2)


def test_link_replaces_only_when_told(place: Place, wanted: Make) -> None:
    write_file(place.fd, b"first", [b"new"], wanted(size=3))
    (place.root / "second").write_bytes(b"old")
    with pytest.raises(TargetError):
        link((place.fd, b"first"), place.fd, b"second")
    assert (place.root / "second").read_bytes() == b"old"
    assert link((place.fd, b"first"), place.fd, b"second", replace=True)
    assert (place.root / "second").read_bytes() == b"new"
    assert sorted(os.listdir(place.root)) == ["first", "second"]


def test_link_across_file_systems_is_left_to_a_copy(place: Place, wanted: Make) -> None:
    """The caller writes the file a second time rather than losing it."""
    fd = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    assert not link((fd, b"status"), place.fd, b"copy")
    os.close(fd)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_immutable_file_can_be_linked_and_stays_immutable(place: Place, wanted: Make) -> None:
    immutable = LINUX_FLAGS["immutable"]
    write_file(place.fd, b"first", [b"x"], wanted(size=1, flags=immutable))
    assert link((place.fd, b"first"), place.fd, b"second")
    fd = os.open(place.root / "second", os.O_RDONLY)
    assert read_flags(fd) & immutable
    write_flags(fd, 0)
    os.close(fd)
