"""Metadata set in the order that keeps it, and each loss told once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from backupd.inode_io import LINUX_FLAGS, read_flags, write_flags
from backupd.target.attributes import apply, apply_at, refresh
from backupd.target.files import write_file
from backupd.target.kept import granularity_ns
from backupd.target.losses import as_problem
from backupd.tree.entry import Kind
from tests.support.ordinary_user import directory_of_user, run_as_user
from tests.support.zoo import ACL
from tests.unit.target.conftest import MTIME_NS, Make, Place

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.mark.root
def test_setuid_and_capabilities_survive_the_owner(place: Place, wanted: Make) -> None:
    """chown takes both off: set before it, they would be lost in silence."""
    xattrs = [(b"security.capability", CAPABILITY)]
    given = wanted(mode=0o6755, uid=1, gid=1, owner=(1234, 4321), xattrs=xattrs)
    assert write_file(place.fd, b"file", [], given) == []
    stat = (place.root / "file").stat()
    assert (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, stat.st_mtime_ns) == (0o6755, 1234, 4321, MTIME_NS)
    assert os.getxattr(place.root / "file", "security.capability") == CAPABILITY


@pytest.mark.platform("linux")
def test_acl_comes_back_and_an_inherited_one_goes(place: Place, wanted: Make) -> None:
    os.setxattr(place.root, "system.posix_acl_default", ACL)
    acl = [(b"system.posix_acl_access", ACL)]
    assert write_file(place.fd, b"with", [], wanted(mode=0o670, xattrs=acl), fresh=False) == []
    assert write_file(place.fd, b"without", [], wanted(mode=0o664), fresh=False) == []
    assert os.getxattr(place.root / "with", "system.posix_acl_access") == ACL
    assert os.listxattr(place.root / "without") == []
    assert (place.root / "without").stat().st_mode & 0o7777 == 0o664


@pytest.mark.root
@pytest.mark.platform("linux")
def test_lost_acl_does_not_open_the_file_to_its_group(tmp_path: Path, wanted: Make) -> None:
    """With an ACL the group bits of the mode are its mask: taken alone they would give the group that much."""
    subprocess.run(["mount", "-t", "ramfs", "none", tmp_path], check=True)
    try:
        fd = os.open(tmp_path, os.O_RDONLY)
        losses = write_file(fd, b"file", [], wanted(mode=0o670, xattrs=[(b"system.posix_acl_access", ACL)]))
        os.close(fd)
        assert losses == ["POSIX ACLs: system.posix_acl_access not set, Operation not supported"]
        assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def _mounted(tmp_path: Path) -> Path:
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-I", "128", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    return mount


@pytest.mark.root
@pytest.mark.needs("mkfs.ext4", "mount")
def test_time_that_the_file_system_rounds_is_told(tmp_path: Path, wanted: Make) -> None:
    """Old inodes hold whole seconds up to 2038: silent rounding would copy all files again next time."""
    mount = _mounted(tmp_path)
    try:
        fd = os.open(mount, os.O_RDONLY)
        assert granularity_ns(fd) == 1_000_000_000
        told = write_file(fd, b"file", [], wanted())
        assert told == ["modification time: off by 0.123456789 s, the file system keeps no other"]
        assert write_file(fd, b"late", [], wanted(mtime_ns=2**40 * 10**9))[0].startswith("modification time: off by")
        assert write_file(fd, b"exact", [], wanted(mtime_ns=10**18)) == []
        os.close(fd)
    finally:
        subprocess.run(["umount", mount], check=True)


def test_times_are_exact_here(place: Place, wanted: Make) -> None:
    assert granularity_ns(place.fd) == 1
    assert os.listdir(place.root) == []
    for mtime_ns in (0, 1, -1, -(10**18) + 7, 2**31 * 10**9 + 3, MTIME_NS):
        assert write_file(place.fd, b"file", [], wanted(mtime_ns=mtime_ns), replace=True) == []
        assert (place.root / "file").stat().st_mtime_ns == mtime_ns


@pytest.mark.root
@pytest.mark.platform("linux")
def test_refresh_mends_what_differs_and_takes_off_what_must_go(place: Place, wanted: Make) -> None:
    path = place.root / "file"
    path.write_bytes(b"x")
    os.setxattr(path, "user.old", b"1")
    os.setxattr(path, "user.changed", b"1")
    os.setxattr(path, "security.label", b"of this machine")
    fd = os.open(path, os.O_RDONLY)
    write_flags(fd, LINUX_FLAGS["immutable"] | LINUX_FLAGS["noatime"])
    given = wanted(size=1, owner=(7, 8), mode=0o604, xattrs=[(b"user.changed", b"2")], flags=LINUX_FLAGS["nodump"])
    assert refresh(place.fd, b"file", given) == []
    stat = path.stat()
    assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777, stat.st_mtime_ns) == (7, 8, 0o604, MTIME_NS)
    assert sorted(os.listxattr(path)) == ["security.label", "user.changed"]
    assert os.getxattr(path, "user.changed") == b"2"
    assert read_flags(fd) & (LINUX_FLAGS["immutable"] | LINUX_FLAGS["noatime"]) == 0
    assert read_flags(fd) & LINUX_FLAGS["nodump"]
    os.close(fd)
    before = path.stat().st_ctime_ns
    assert refresh(place.fd, b"file", given) == []
    assert path.stat().st_ctime_ns == before, "what fits must not be touched: the next backup would read it again"


@pytest.mark.root
def test_symlink_and_fifo_get_theirs(place: Place, wanted: Make) -> None:
    os.symlink("nowhere", place.root / "link")
    os.mkfifo(place.root / "fifo")
    for name, kind in ((b"link", Kind.SYMLINK), (b"fifo", Kind.FIFO)):
        xattrs = [(b"trusted.x", b"1")]
        given = wanted(kind, owner=(5, 6), mode=0o604, xattrs=xattrs, content=b"nowhere" if name == b"link" else None)
        assert apply_at(place.fd, name, given, fresh=True) == []
        stat = os.stat(name, dir_fd=place.fd, follow_symlinks=False)
        assert (stat.st_uid, stat.st_gid, stat.st_mtime_ns) == (5, 6, MTIME_NS)
        assert os.getxattr(place.root / os.fsdecode(name), "trusted.x", follow_symlinks=False) == b"1"
    assert (place.root / "fifo").stat().st_mode & 0o7777 == 0o604


def test_ordinary_user_is_told_what_he_can_not_set(wanted: Make) -> None:
    """One line a loss, all of an entry in one warning."""
    with directory_of_user() as root:

        def work() -> list[str]:
            fd = os.open(root, os.O_RDONLY)
            xattrs = [(b"security.capability", CAPABILITY), (b"trusted.x", b"1"), (b"user.x", b"1")]
            flags = LINUX_FLAGS["immutable"] | LINUX_FLAGS["nodump"]
            given = wanted(uid=0, gid=0, owner=(0, 0), mode=0o4711, xattrs=xattrs, flags=flags)
            losses = write_file(fd, b"file", [], given)
            stat = (root / "file").stat()
            return [*losses, f"{stat.st_mode:o}", *os.listxattr(root / "file")]

        assert run_as_user(work) == [
            "owner and group: 0:0 not set, not permitted",
            "set-user-id and set-group-id: left out, the owner is another",
            "file capabilities: security.capability not set, not permitted",
            "extended attributes: trusted.x not set, not permitted",
            "inode flags: immutable not set, not permitted",
            "100711",
            "user.x",
        ]
    problem = as_problem(b"/a", ["one", "two"])
    assert problem is not None
    assert (problem.kind, problem.message) == ("metadata", "one; two")
    assert as_problem(b"/a", []) is None


def test_directory_is_finished_by_its_descriptor(place: Place, wanted: Make) -> None:
    fd, is_new = place.directories.make(b"a")
    (place.root / "a" / "later").touch()
    assert apply(fd, wanted(Kind.DIRECTORY, mode=0o1555, content=b"i" * 32), is_new) == []
    stat = (place.root / "a").stat()
    assert (stat.st_mode & 0o7777, stat.st_mtime_ns) == (0o1555, MTIME_NS)
