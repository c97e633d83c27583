"""What was backed up comes back: all of it, parts of it, as it was, where it is wanted."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import PathNotFoundError, UsageError
from backupd.inode_io import FIXING_FLAGS, write_flags
from tests.support.compare import compare_trees
from tests.support.ordinary_user import directory_of_user, run_as_reading_user
from tests.support.restoring import OLD_NS, SECOND, Kept, files
from tests.support.zoo import build_zoo

MEBIBYTE = 1 << 20


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def _release(root: Path) -> None:
    for path in sorted((root / "flags").glob("*")):
        if path.exists() and not path.is_symlink():
            fd = os.open(path, os.O_RDONLY)
            write_flags(fd, 0, FIXING_FLAGS)
            os.close(fd)


@pytest.fixture
def zoo(tmp_path: Path) -> Generator[Kept, None, None]:
    above = Kept(tmp_path)
    above.source.rmdir()
    built = build_zoo(above.source)
    yield above
    built.release()
    _release(above.source)
    _release(above.restored)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_every_kind_of_entry_comes_back_with_all_it_had(zoo: Kept) -> None:
    zoo.back_up()
    outcome = zoo.restore()
    assert outcome.done.exit_code == 0, outcome.result["problems"]
    assert compare_trees(zoo.source, zoo.restored) == []
    again = zoo.restore()
    assert again.done.exit_code == 0
    assert set(files(again)) == {"same"}
    assert compare_trees(zoo.source, zoo.restored) == []


def test_large_sparse_and_repetitive_files_come_back(kept: Kept) -> None:
    """Files over several segments, tasks and windows, and chunks that many files share."""
    noise = random.Random(7)
    block = noise.randbytes(3 * MEBIBYTE)
    kept.write("large", noise.randbytes(37 * MEBIBYTE + 12345))
    kept.write("repeated", block * 9 + b"end")
    kept.write("twin", block * 9 + b"END")
    for number in range(300):
        kept.write(f"many/{number}", block[number : number + 10_000] if number % 3 else b"the same for all")
    sparse = kept.write("sparse", b"")
    with sparse.open("r+b") as file:
        for at in range(0, 200, 7):
            file.seek(at * MEBIBYTE)
            file.write(noise.randbytes(300_000))
        file.truncate(300 * MEBIBYTE)
    os.utime(sparse, ns=(OLD_NS, OLD_NS))
    kept.back_up()
    outcome = kept.restore(verify=True)
    assert outcome.done.exit_code == 0, outcome.result["problems"]
    assert compare_trees(kept.source, kept.restored) == []
    assert outcome.result["verified"]["bytes"] >= 90 * MEBIBYTE
    assert outcome.result["bytes"]["fetched"] < 70 * MEBIBYTE


def test_many_small_files_come_back_through_bkctl(kept: Kept) -> None:
    """As the user starts it: one command, a summary, the directory that is said."""
    for number in range(3000):
        kept.write(f"d{number % 50}/{number % 7}/f{number}", b"%d" % number * (number % 100))
    (kept.source / "empty").mkdir()
    os.symlink("d1/1", kept.source / "link")
    kept.back_up()
    done = kept.machine.bkctl("restore", "documents", "--from", kept.place, "--to", kept.target)
    assert done.returncode == 0, done.stderr
    assert b"3,001 files restored" in done.stdout
    assert compare_trees(kept.source, kept.restored) == []


def test_chosen_paths_come_alone_with_the_directories_above(kept: Kept) -> None:
    kept.write("a/b/wanted", b"1")
    kept.write("a/b/other", b"2")
    kept.write("a/c/file", b"3")
    os.chmod(kept.source / "a" / "b", 0o751)
    kept.back_up()
    kept.restore("a/b/wanted", "a/c")
    found = sorted(str(path.relative_to(kept.restored)) for path in kept.restored.rglob("*"))
    assert found == ["a", "a/b", "a/b/wanted", "a/c", "a/c/file"]
    assert (kept.restored / "a" / "b").stat().st_mode & 0o777 == 0o751


def test_missing_path_is_said_before_anything_is_written(kept: Kept) -> None:
    kept.write("a", b"1")
    kept.back_up()
    with pytest.raises(PathNotFoundError, match="no-such"):
        kept.restore("a", "no-such/file")
    assert not kept.target.exists()


def test_strip_puts_each_path_straight_into_the_directory(kept: Kept) -> None:
    kept.write("deep/down/letter", b"dear")
    kept.write("deep/folder/inside", b"x")
    kept.write("other/letter", b"other")
    kept.back_up()
    kept.restore("deep/down/letter", "deep/folder", strip=True)
    assert sorted(os.listdir(kept.target)) == ["folder", "letter"]
    assert (kept.target / "folder" / "inside").read_bytes() == b"x"
    with pytest.raises(UsageError, match="would be one"):
        kept.restore("deep/down/letter", "other/letter", strip=True)
    kept.restore(strip=True, to=os.fsencode(kept.above / "all"))
    assert compare_trees(kept.source, kept.above / "all" / "source") == []


def test_original_place_gets_back_what_was_deleted_and_keeps_directories_above(kept: Kept) -> None:
    kept.write("a/lost", b"back again")
    kept.write("a/there", b"still there")
    os.utime(kept.source / "a", ns=(OLD_NS, OLD_NS))
    kept.back_up()
    (kept.source / "a" / "lost").unlink()
    above = kept.source.parent.stat()
    outcome = kept.restore(to=None)
    assert files(outcome) == {"restored": 1, "same": 1}
    assert (kept.source / "a" / "lost").read_bytes() == b"back again"
    assert (kept.source / "a").stat().st_mtime_ns == OLD_NS
    assert kept.source.parent.stat().st_mode == above.st_mode
    assert kept.source.parent.stat().st_mtime_ns == above.st_mtime_ns


def test_older_snapshot_gives_the_older_bytes(kept: Kept) -> None:
    kept.write("letter", b"first", age_ns=1000 * SECOND)
    first = kept.back_up().result["runs"][0]["snapshot"]
    kept.write("letter", b"second")
    kept.back_up()
    kept.restore(as_of=first)
    assert (kept.restored / "letter").read_bytes() == b"first"


def test_all_versions_stand_side_by_side_and_the_newest_keeps_its_name(kept: Kept) -> None:
    for number, text in enumerate((b"one", b"two", b"three")):
        kept.write("d/letter.rtf", text, age_ns=(9 - number) * 1000 * SECOND)
        kept.write("d/constant", b"constant", age_ns=SECOND)
        kept.back_up()
    kept.restore("d", all_versions=True, strip=True)
    found = {path.name: path.read_bytes() for path in (kept.target / "d").iterdir()}
    assert found.pop("letter.rtf") == b"three"
    assert found.pop("constant") == b"constant"
    assert sorted(found.values()) == [b"one", b"two"]
    assert all(name.startswith("letter.20") and name.endswith(".rtf") for name in found)
    picked = kept.above / "picked"
    kept.restore("d/letter.rtf", picks=["1"], strip=True, to=os.fsencode(picked))
    (only,) = picked.iterdir()
    assert only.read_bytes() == b"one"
    assert only.name.startswith("letter.20")


def test_hard_links_are_one_file_again(kept: Kept) -> None:
    first = kept.write("a/first", b"shared bytes")
    (kept.source / "b").mkdir()
    os.link(first, kept.source / "b" / "second")
    os.link(first, kept.source / "third")
    kept.back_up()
    assert kept.restore().done.exit_code == 0
    assert compare_trees(kept.source, kept.restored) == []
    inodes = {(kept.restored / name).stat().st_ino for name in ("a/first", "b/second", "third")}
    assert len(inodes) == 1


@pytest.mark.root
@pytest.mark.platform("linux")
def test_ordinary_user_gets_all_that_is_his_and_no_alarm_about_what_lies_above() -> None:
    """The directories above belong to root: that they come back as the user's own is nothing to look at."""

    def restore() -> list[object]:
        kept = Kept(above)
        kept.write("mine", b"mine")
        kept.write("closed", b"closed").chmod(0o400)
        (kept.source / "d").mkdir()
        (kept.source / "d").chmod(0o500)
        kept.back_up()
        outcome = kept.restore()
        again = kept.restore()
        (kept.restored / "d").chmod(0o700)
        lines = compare_trees(kept.source, kept.restored)
        return [outcome.done.exit_code, again.done.exit_code, files(again), lines]

    with directory_of_user() as above:
        found = run_as_reading_user(restore)
    assert isinstance(found, list)
    assert found[:3] == [0, 0, {"same": 2}]
    # The mode that the test itself changed.
    assert len(found[3]) == 1, found[3]


@pytest.mark.needs("rsync")
def test_rsync_sees_no_difference_either(kept: Kept) -> None:
    """A second opinion on bytes, modes, times and links."""
    noise = random.Random(3)
    for number in range(200):
        path = kept.write(f"{number % 9}/{number}", noise.randbytes(noise.randrange(300_000)))
        path.chmod(noise.randrange(0o1000) | 0o400)
    kept.back_up()
    kept.restore()
    command = ["rsync", "-aHAXin", "--checksum", "--delete", f"{kept.source}/", f"{kept.restored}/"]
    told = subprocess.run(command, capture_output=True, check=False)
    assert (told.returncode, told.stdout) == (0, b"")
