"""Files of a restore: whole or not there, and never at the cost of what stood there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from backupd.errors import TargetError, TargetFullError
from backupd.inode_io import LINUX_FLAGS, read_flags, write_flags
from backupd.target.files import abandon_file, create_file, extend, finish_file, reopen_file, write_at, write_file
from backupd.target.placing import remove_leftovers
from backupd.target.sparse import Extents
from tests.unit.target.conftest import MTIME_NS, Make, Place


def test_new_file_stands_under_its_own_name_unfinished_in_time(place: Place, wanted: Make) -> None:
    """After a kill the half-written file must not look the same as the snapshot's."""
    file = create_file(place.fd, b"file")
    write_at(file.fd, 0, [b"half"])
    stat = (place.root / "file").stat()
    assert file.temporary is None
    assert (stat.st_mode & 0o7777, stat.st_mtime_ns != MTIME_NS) == (0o600, True)
    assert finish_file(place.fd, file, wanted(size=4)) == []
    assert (place.root / "file").stat().st_mtime_ns == MTIME_NS


def test_half_restored_file_never_replaces_a_whole_one(place: Place, wanted: Make) -> None:
    (place.root / "file").write_bytes(b"whole")
    file = create_file(place.fd, b"file", replace=True)
    write_at(file.fd, 0, [b"half"])
    assert (place.root / "file").read_bytes() == b"whole"
    abandon_file(place.fd, file)
    assert os.listdir(place.root) == ["file"]
    assert write_file(place.fd, b"file", [b"n", bytearray(b"e"), memoryview(b"w")], wanted(size=3), replace=True) == []
    assert (place.root / "file").read_bytes() == b"new"
    assert os.listdir(place.root) == ["file"]


def test_abandoned_new_file_is_gone(place: Place) -> None:
    abandon_file(place.fd, create_file(place.fd, b"file"))
    assert os.listdir(place.root) == []


def test_leftovers_of_a_killed_restore_are_removed_not_those_of_a_living_one(place: Place, wanted: Make) -> None:
    (place.root / "file").touch()
    killed = create_file(place.fd, b"file", replace=True)
    os.close(killed.fd)
    living = create_file(place.fd, b"file", replace=True)
    (place.root / ".bkrestore-0123456789abcdef").touch()
    assert remove_leftovers(place.fd, {b".bkrestore-0123456789abcdef"}) == 1
    assert finish_file(place.fd, living, wanted()) == []
    assert sorted(os.listdir(place.root)) == [".bkrestore-0123456789abcdef", "file"]


def test_many_buffers_and_parts_land_where_they_belong(place: Place, wanted: Make) -> None:
    """Several processes write one file, in any order."""
    file = create_file(place.fd, b"file")
    stat = os.fstat(file.fd)
    other = reopen_file(place.fd, file.current_name, (stat.st_dev, stat.st_ino))
    parts = [b"%04d" % number for number in range(2000)]
    assert write_at(other, 4000, parts[1000:]) == 4000
    assert write_at(file.fd, 0, [b"", *parts[:1000], b""]) == 4000
    os.close(other)
    assert finish_file(place.fd, file, wanted(size=8000)) == []
    assert (place.root / "file").read_bytes() == b"".join(parts)


def test_second_writer_is_refused_another_file(place: Place) -> None:
    (place.root / "file").touch()
    with pytest.raises(TargetError, match="another file"):
        reopen_file(place.fd, b"file", (1, 1))


def test_holes_stay_holes(place: Place, wanted: Make) -> None:
    size = 1 << 40
    pairs = [(4096, 4096), (1 << 30, 8192), (size - 100, 100)]
    data = b"".join(number.to_bytes(8, "little") for pair in pairs for number in pair)
    extents = Extents(data, size)
    content = os.urandom(extents.content_bytes)
    file = create_file(place.fd, b"file")
    for start in range(0, len(content), 1000):
        part = content[start : start + 1000]
        for offset, begin, length in extents.pieces(start, len(part)):
            write_at(file.fd, offset, [part[begin : begin + length]])
    extend(file.fd, size)
    assert finish_file(place.fd, file, wanted(size=size, extents=data)) == []
    stat = (place.root / "file").stat()
    assert (stat.st_size, stat.st_blocks <= 64) == (size, True)
    with (place.root / "file").open("rb") as read:
        assert b"".join(os.pread(read.fileno(), length, offset) for offset, length in pairs) == content


def test_file_without_its_holes_is_told(place: Place, wanted: Make) -> None:
    data = (0).to_bytes(8, "little") + (10).to_bytes(8, "little")
    losses = write_file(place.fd, b"file", [bytes(1 << 20)], wanted(size=1 << 20, extents=data))
    assert [loss.split(":")[0] for loss in losses] == ["sparse holes"]


def test_a_file_that_is_all_hole_has_no_content() -> None:
    """`truncate -s 1T` makes one: it comes back as a hole, not as an error."""
    assert Extents(bytes(16), 1 << 40).content_bytes == 0


@pytest.mark.parametrize("pairs", [[(5, 0)], [(5, 10), (14, 2)], [(50, 2), (0, 2)], [(95, 10)], [(2**63, 2**63)]])
def test_extents_that_contradict_themselves_are_refused(pairs: list[tuple[int, int]]) -> None:
    """A hostile list must not make a worker write elsewhere, or for ever."""
    data = b"".join(number.to_bytes(8, "little") for pair in pairs for number in pair)
    for wrong in (data, data[:-1]):
        with pytest.raises(TargetError):
            Extents(wrong, 100)


def test_content_beyond_the_extents_is_refused() -> None:
    extents = Extents((10).to_bytes(8, "little") * 2, 100)
    assert list(extents.pieces(0, 10)) == [(10, 0, 10)]
    assert list(extents.pieces(10, 0)) == []
    for start, length in ((0, 11), (10, 1), (-1, 2), (3, -1)):
        with pytest.raises(TargetError):
            list(extents.pieces(start, length))


def test_impossible_sizes_are_errors(place: Place) -> None:
    file = create_file(place.fd, b"file")
    for size in (2**63 - 1, 2**70, -1):
        with pytest.raises(TargetError):
            extend(file.fd, size)
        with pytest.raises(TargetError):
            write_at(file.fd, size, [b"x"])
    abandon_file(place.fd, file)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_immutable_file_is_replaced_and_made_immutable(place: Place, wanted: Make) -> None:
    immutable = LINUX_FLAGS["immutable"]
    for content in (b"1", b"2"):
        given = wanted(size=1, flags=immutable)
        assert write_file(place.fd, b"file", [content], given, replace=True) == []
        fd = os.open(place.root / "file", os.O_RDONLY)
        assert os.pread(fd, 9, 0) == content
        assert read_flags(fd) & immutable
        os.close(fd)
    fd = os.open(place.root / "file", os.O_RDONLY)
    write_flags(fd, 0)
    os.close(fd)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_full_target_ends_the_restore_and_leaves_what_stood_there(tmp_path: Path, wanted: Make) -> None:
    """No space is no problem of one file: going on would fail a million times."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], check=True)
    try:
        fd = os.open(tmp_path, os.O_RDONLY)
        assert write_file(fd, b"file", [b"old"], wanted(size=3)) == []
        with pytest.raises(TargetFullError):
            write_file(fd, b"file", [bytes(1 << 20)], wanted(size=1 << 20), replace=True)
        assert os.listdir(fd) == ["file"]
        assert (tmp_path / "file").read_bytes() == b"old"
        os.close(fd)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
