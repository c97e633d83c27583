"""Directories of a restore: made once, found again, at any depth."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from backupd.errors import TargetError
from backupd.inode_io import LINUX_FLAGS, read_flags, write_flags
from backupd.target.directories import Directories, open_root
from tests.support.ordinary_user import directory_of_user, run_as_user
from tests.support.zoo import ACL
from tests.unit.target.conftest import Place


def test_parents_are_made_closed_to_others(place: Place) -> None:
    """Until their own mode is set, nobody else may look into what is restored."""
    fd, is_new = place.directories.make(b"a/b/c")
    assert is_new
    assert os.path.samestat(os.fstat(fd), (place.root / "a/b/c").stat())
    assert [(place.root / path).stat().st_mode & 0o7777 for path in ("a", "a/b", "a/b/c")] == [0o700] * 3
    assert place.directories.make(b"a/b") == (place.directories.open(b"a/b"), False)
    assert place.directories.make(b"") == (place.fd, False)


def test_existing_ones_are_used(place: Place) -> None:
    (place.root / "a").mkdir(mode=0o755)
    assert not place.directories.make(b"a")[1]
    assert (place.root / "a").stat().st_mode & 0o7777 == 0o755


def test_absent_one_is_an_error_when_opened(place: Place) -> None:
    with pytest.raises(TargetError, match="No such file"):
        place.directories.open(b"a/b")


def test_what_is_no_directory_is_in_the_way_or_replaced(place: Place) -> None:
    (place.root / "a").write_text("x")
    os.mkfifo(place.root / "b")
    for path in (b"a", b"a/below", b"b"):
        with pytest.raises(TargetError, match="in the way"):
            place.directories.make(path)
    for path in (b"a", b"b"):
        assert place.directories.make(path, replace=True)[1]


def test_deeper_than_path_max_with_few_descriptors(place: Place) -> None:
    """A tree that was deep enough for the source is not too deep for the restore."""
    paths = [b"/".join([b"directory-%03d" % level for level in range(depth)]) for depth in range(1, 600)]
    before = len(os.listdir("/dev/fd"))
    for path in paths:
        place.directories.make(path)
    for path in (paths[-1], paths[0], *reversed(paths)):
        assert os.fstat(place.directories.open(path)).st_nlink
    assert len(os.listdir("/dev/fd")) - before <= 128
    place.directories.close()
    assert len(os.listdir("/dev/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 128


def test_descriptor_stays_good_while_two_others_are_asked_for(place: Place) -> None:
    """A hard link needs two directories at once."""
    for number in range(300):
        place.directories.make(b"d%d/e/f" % number)
    for number in range(298):
        first = place.directories.open(b"d%d/e/f" % number)
        place.directories.open(b"d%d/e/f" % (number + 1))
        place.directories.open(b"d%d/e" % (number + 2))
        assert os.path.samestat(os.fstat(first), (place.root / f"d{number}/e/f").stat())


def test_forgotten_one_is_opened_anew(place: Place) -> None:
    place.directories.make(b"a/b")
    place.directories.forget(b"a")
    (place.root / "a").rename(place.root / "c")
    assert place.directories.make(b"a/b")[1]


@pytest.mark.platform("linux")
def test_default_acl_of_the_target_does_not_spread(place: Place) -> None:
    """A default ACL above the target would open restored files to users whom the snapshot kept out."""
    os.setxattr(place.root, "system.posix_acl_default", ACL)
    directories = Directories(place.fd)
    assert directories.passes_acl(b"")
    fd, _ = directories.make(b"a")
    assert not directories.passes_acl(b"a")
    assert os.listxattr(fd) == []
    assert os.fstat(fd).st_mode & 0o077 == 0
    directories.close()


@pytest.mark.root
@pytest.mark.platform("linux")
def test_immutable_directory_is_opened_up(place: Place) -> None:
    """A second restore over an immutable directory must be able to mend what is in it."""
    (place.root / "a").mkdir()
    fd = os.open(place.root / "a", os.O_RDONLY)
    write_flags(fd, LINUX_FLAGS["immutable"] | LINUX_FLAGS["nodump"])
    place.directories.open(b"a")
    place.directories.make(b"a")
    place.directories.make(b"a/b")
    assert read_flags(fd) & LINUX_FLAGS["immutable"] == 0
    assert read_flags(fd) & LINUX_FLAGS["nodump"]
    os.close(fd)


def test_own_directory_that_is_closed_to_its_owner_is_opened_up() -> None:
    """As a user: a read-only directory of an earlier restore can be restored again."""
    with directory_of_user() as root:

        def work() -> list[bool]:
            for mode in (0o500, 0o300, 0o000):
                (root / f"{mode}").mkdir()
                (root / f"{mode}").chmod(mode)
            directories = Directories(open_root(os.fsencode(root)))
            with pytest.raises(TargetError):
                directories.open(b"0")
            return [
                directories.make(b"%d/new" % mode)[1] for mode in (0o500, 0o300) if directories.make(b"%d" % mode)
            ] + [directories.make(b"0")[1]]

        assert run_as_user(work) == [True, True, False]


def test_root_may_be_reached_by_symlinks(place: Place, tmp_path: Path) -> None:
    """What the user typed is his own choice."""
    (tmp_path / "way").symlink_to(place.root)
    fd = open_root(os.fsencode(tmp_path / "way"))
    assert os.path.samestat(os.fstat(fd), os.fstat(place.fd))
    os.close(fd)
    (tmp_path / "file").touch()
    for name in ("file", "absent"):
        with pytest.raises(TargetError):
            open_root(os.fsencode(tmp_path / name))
