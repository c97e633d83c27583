"""Attributes that are not read are lost for good: the backup would look whole and not be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from backupd.inode_io import LINUX_FLAGS, write_flags
from backupd.source.metadata import Attributes, read_attributes, read_attributes_at
from tests.support.ordinary_user import run_as_user
from tests.support.zoo import ACL

NOTHING = Attributes([], 0, None, [])

pytestmark = pytest.mark.platform("linux")


def _read(path: Path) -> Attributes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_attributes(fd, os.fstat(fd))
    finally:
        os.close(fd)


def _read_at(directory: Path, name: bytes) -> Attributes:
    fd = os.open(directory, os.O_RDONLY)
    try:
        return read_attributes_at(fd, name, os.stat(name, dir_fd=fd, follow_symlinks=False))
    finally:
        os.close(fd)


def test_plain_file_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _read(tmp_path / "file") == NOTHING
    assert _read(tmp_path) == NOTHING


def test_xattrs_come_in_byte_order_with_names_and_values_as_bytes(tmp_path: Path) -> None:
    """Another order would make an unchanged tree look changed at every run."""
    (tmp_path / "file").touch()
    given = {b"user.b": b"\0\xff", b"user.a": b"", b"user.\xff": b"v" * 3000, b"user.B": b"1"}
    for name, value in given.items():
        os.setxattr(tmp_path / "file", name, value)
    assert _read(tmp_path / "file") == Attributes(sorted(given.items()), 0, None, [])


def test_acls_are_among_them(tmp_path: Path) -> None:
    names = (b"system.posix_acl_access", b"system.posix_acl_default")
    for name in names:
        os.setxattr(tmp_path, name, ACL)
    assert _read(tmp_path).xattrs == [(name, ACL) for name in names]


@pytest.mark.root
def test_what_is_never_opened_is_read_by_its_name(tmp_path: Path) -> None:
    """Opening a FIFO would block the run, opening a device may move a tape."""
    os.mkfifo(tmp_path / "fifo")
    os.symlink("nowhere", tmp_path / "link\n")
    os.mknod(tmp_path / "device", 0o020600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    for name in (b"fifo", b"link\n", b"device", b"socket"):
        os.setxattr(os.fsencode(tmp_path) + b"/" + name, "trusted.x", name, follow_symlinks=False)
        assert _read_at(tmp_path, name) == Attributes([(b"trusted.x", name)], 0, None, [])


@pytest.mark.root
@pytest.mark.parametrize("name", ["immutable", "append", "nodump", "noatime", "sync"])
def test_flags_that_can_be_set_again_are_read(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / "file", tmp_path / "directory"):
        path.touch() if path.name == "file" else path.mkdir()
        fd = os.open(path, os.O_RDONLY)
        write_flags(fd, LINUX_FLAGS[name])
        try:
            assert read_attributes(fd, os.fstat(fd)).flags == LINUX_FLAGS[name]
        finally:
            write_flags(fd, 0)
            os.close(fd)


def test_file_system_without_attributes_is_no_problem() -> None:
    for _ in range(2):
        assert _read(Path("/proc/self/status")) == NOTHING


@pytest.mark.root
def test_unreadable_xattr_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    """One attribute that can't be read must be told, and must not hide the rest."""
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.x", b"1")
    os.setxattr(path, "security.backupd", b"label")
    path.chmod(0)
    fd = os.open(path, os.O_RDONLY)
    answer = run_as_user(lambda: list(read_attributes(fd, os.fstat(fd))))
    os.close(fd)
    told = ["extended attribute user.x not read: Permission denied"]
    assert answer == [[[b"security.backupd", b"label"]], 0, None, told]


def test_thing_that_vanished_is_a_problem_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    stat = (tmp_path / "link").lstat()
    fd = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "link").unlink()
    assert read_attributes_at(fd, b"link", stat).problems == ["extended attributes not read: No such file or directory"]
    os.close(fd)
