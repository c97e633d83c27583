"""Deleting what the snapshot does not have: all of it, and nothing else."""

from __future__ import annotations

import os
import subprocess

import pytest

from backupd.inode_io import LINUX_FLAGS, write_flags
from backupd.target.directories import Directories, open_root
from backupd.target.unmatched import delete_unmatched, list_unmatched
from tests.support.ordinary_user import directory_of_user, run_as_user
from tests.unit.target.conftest import Place


def test_listed_by_bytes_in_order(place: Place) -> None:
    """Two names that look alike are two names."""
    for name in (b"kept", b"e\xcc\x81", b"\xc3\xa9", b"\xff", b"a\nb"):
        os.close(os.open(name, os.O_CREAT, dir_fd=place.fd))
    assert list_unmatched(place.fd, {b"kept", b"\xc3\xa9"}) == [b"a\nb", b"e\xcc\x81", b"\xff"]


def test_everything_below_goes_and_nothing_beside(place: Place) -> None:
    (place.root / "a" / "b").mkdir(parents=True)
    (place.root / "a" / "b" / "file").touch()
    os.mkfifo(place.root / "a" / "fifo")
    (place.root / "a" / "link").symlink_to("../kept")
    (place.root / "kept").touch()
    place.directories.make(b"a/b")
    assert delete_unmatched(place.directories, b"", b"a") == (5, [])
    assert delete_unmatched(place.directories, b"", b"a") == (0, [])
    assert os.listdir(place.root) == ["kept"]


def test_deeper_than_path_max(place: Place) -> None:
    place.directories.make(b"/".join([b"directory-%03d" % level for level in range(500)]))
    assert delete_unmatched(place.directories, b"", b"directory-000") == (500, [])
    assert os.listdir(place.root) == []


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_what_is_mounted_below_stays(place: Place, kind: str) -> None:
    """A disk mounted in the target is not the restore's to empty, a bind mount of the same disk neither."""
    mount = place.root / "a" / "b" / "mount"
    mount.mkdir(parents=True)
    (place.root / "a" / "file").touch()
    options = ["-t", "tmpfs", "none"] if kind == "tmpfs" else ["--bind", str(place.outside)]
    subprocess.run(["mount", *options, mount], check=True)
    try:
        (mount / "precious").touch()
        deleted = delete_unmatched(place.directories, b"", b"a")
        assert deleted == (1, [(b"a/b/mount", "something is mounted there")])
        assert (mount / "precious").exists()
    finally:
        place.directories.close()
        subprocess.run(["umount", mount], check=True)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_immutable_things_go_too(place: Place) -> None:
    (place.root / "a").mkdir()
    (place.root / "a" / "file").touch()
    for name in ("a/file", "a"):
        fd = os.open(place.root / name, os.O_RDONLY)
        write_flags(fd, LINUX_FLAGS["immutable"])
        os.close(fd)
    assert delete_unmatched(place.directories, b"", b"a") == (2, [])


def test_user_deletes_his_read_only_directories() -> None:
    with directory_of_user() as root:

        def work() -> object:
            for mode in (0o500, 0o000):
                (root / "a" / f"{mode}" / "below").mkdir(parents=True)
                (root / "a" / f"{mode}").chmod(mode)
            (root / "a").chmod(0o500)
            return delete_unmatched(Directories(open_root(os.fsencode(root))), b"", b"a")

        assert run_as_user(work) == [5, []]
