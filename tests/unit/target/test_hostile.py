"""A snapshot or a racing user that points outside: nothing there is read, written, created or deleted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backupd.errors import TargetError
from backupd.target.attributes import apply, apply_at, refresh
from backupd.target.directories import Directories
from backupd.target.existing import Verdict, judge, look
from backupd.target.files import abandon_file, create_file, finish_file, reopen_file, write_file
from backupd.target.nodes import create_node, link
from backupd.target.unmatched import delete_unmatched
from backupd.tree.entry import Device, Kind
from tests.unit.target.conftest import MTIME_NS, Make, Place

NAMES = [b"..", b".", b"", b"/", b"../victim", b"a/b", b"/etc/passwd", b"nul\0byte", b"n" * 300, b"x" * 5000]


@pytest.fixture(autouse=True)
def _outside_is_left_alone(place: Place) -> Generator[None, None, None]:
    yield
    assert set(os.listdir(place.outside)) == {"victim", "directory", "symlink"}
    assert (place.outside / "victim").read_bytes() == b"untouched"
    assert (place.outside / "directory" / "file").read_bytes() == b"inside"


@contextmanager
def nothing_happens_outside(place: Place) -> Generator[None, None, None]:
    before = place.seen()
    yield
    assert place.seen() == before


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("what", ["file", "symlink", "link", "directory", "parent", "open", "delete", "look"])
def test_name_from_a_snapshot_can_not_lead_out(place: Place, wanted: Make, name: bytes, what: str) -> None:
    link_to = wanted(Kind.SYMLINK, content=b"x")
    write_file(place.fd, b"first", [b"1"], wanted(size=1))
    attempts: dict[str, Callable[[], object]] = {
        "file": lambda: write_file(place.fd, name, [b"overwritten"], wanted(size=11), replace=True),
        "symlink": lambda: create_node(place.fd, name, link_to, replace=True),
        "link": lambda: link((place.fd, b"first"), place.fd, name, replace=True),
        "directory": lambda: place.directories.make(name or b"/", replace=True),
        "parent": lambda: place.directories.make(name + b"/below", replace=True),
        "open": lambda: place.directories.open(name or b"/"),
        "delete": lambda: delete_unmatched(place.directories, name or b"/", b"victim"),
        "look": lambda: look(place.fd, name),
    }
    is_harmless = (name == b"a/b" and what in ("directory", "parent")) or what == "delete"
    with nothing_happens_outside(place):
        if is_harmless:
            attempts[what]()
        else:
            with pytest.raises(TargetError):
                attempts[what]()
    assert set(os.listdir(place.root)) <= {"first", "a"}


@pytest.mark.parametrize("path", [b"..", b"a/..", b"a/../../outside", b"/", b"a//b", b"a/", b"./a", b"a/."], ids=repr)
def test_path_of_a_directory_can_not_lead_out(place: Place, path: bytes) -> None:
    place.directories.make(b"a")
    with nothing_happens_outside(place):
        for attempt in (place.directories.make, place.directories.open):
            with pytest.raises(TargetError):
                attempt(path)


@pytest.mark.parametrize("target", ["../outside", "../outside/directory", "/", ".", "a", "dangling"])
def test_symlinked_parent_is_refused(place: Place, target: str) -> None:
    """What lies behind a symlink in the target is not the restore's to write."""
    (place.root / "a").symlink_to(target)
    with nothing_happens_outside(place):
        for attempt in (b"a", b"a/b", b"a/b/c"):
            with pytest.raises(TargetError, match="in the way"):
                place.directories.make(attempt)
        with pytest.raises(TargetError):
            place.directories.make(b"a/directory", replace=True)
        assert os.readlink(place.root / "a") == target


def test_symlink_where_a_directory_goes_is_replaced_not_followed(place: Place) -> None:
    (place.root / "a").symlink_to("../outside")
    with nothing_happens_outside(place):
        assert place.directories.make(b"a", replace=True)[1]
        place.directories.make(b"a/directory")
    assert (place.root / "a" / "directory").is_dir()


@pytest.mark.parametrize("target", ["../outside/victim", "../outside/new", "/etc/hostname", "../outside/directory"])
def test_symlink_where_a_file_goes_is_replaced_not_written_through(place: Place, wanted: Make, target: str) -> None:
    (place.root / "file").symlink_to(target)
    with nothing_happens_outside(place):
        with pytest.raises(TargetError):
            write_file(place.fd, b"file", [b"new"], wanted(size=3))
        assert write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True) == []
    assert not (place.root / "file").is_symlink()
    assert (place.root / "file").read_bytes() == b"new"


def test_metadata_is_not_set_through_a_symlink(place: Place, wanted: Make) -> None:
    (place.root / "name").symlink_to("../outside/victim")
    with nothing_happens_outside(place):
        for kind in (Kind.FILE, Kind.FIFO, Kind.SOCKET, Kind.DIRECTORY):
            with pytest.raises(TargetError):
                refresh(place.fd, b"name", wanted(kind, mode=0o777))
        refresh(place.fd, b"name", wanted(Kind.SYMLINK, content=b"../outside/victim", mode=0o777))


def test_file_linked_to_the_outside_is_replaced_not_written(place: Place, wanted: Make) -> None:
    os.link(place.outside / "victim", place.root / "file")
    inode = (place.outside / "victim").stat().st_ino
    write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True)
    assert (place.outside / "victim").stat().st_ino == inode
    assert (place.outside / "victim").read_bytes() == b"untouched"


def test_same_file_linked_to_the_outside_keeps_its_metadata(place: Place, wanted: Make) -> None:
    """A crafted entry of equal size and time must not chown or chmod what was hard-linked there."""
    os.link(place.outside / "victim", place.root / "file")
    os.utime(place.outside / "victim", ns=(MTIME_NS, MTIME_NS))
    crafted = wanted(size=9, mode=0o6777, owner=(65534, 65534))
    with nothing_happens_outside(place):
        assert judge(look(place.fd, b"file"), crafted.entry, "if-changed", crafted.owner) == Verdict.REPLACE
        assert refresh(place.fd, b"file", crafted) == []


def test_symlink_linked_to_the_outside_keeps_its_metadata(place: Place, wanted: Make) -> None:
    os.link(place.outside / "symlink", place.root / "name", follow_symlinks=False)
    with nothing_happens_outside(place):
        assert apply_at(place.fd, b"name", wanted(Kind.SYMLINK, content=b"victim", owner=(65534, 65534))) == []


@pytest.mark.root
def test_immutable_file_linked_to_the_outside_stays_immutable(place: Place, wanted: Make) -> None:
    os.link(place.outside / "victim", place.root / "file")
    _chattr("+i", place.outside / "victim")
    try:
        with nothing_happens_outside(place), pytest.raises(TargetError):
            write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True)
    finally:
        _chattr("-i", place.outside / "victim")


def test_fifo_where_a_file_goes_does_not_block(place: Place, wanted: Make) -> None:
    """A restore that waits for a writer of a FIFO never ends."""
    os.mkfifo(place.root / "file")
    write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True)
    assert (place.root / "file").read_bytes() == b"new"


def test_fifo_is_not_opened_for_its_metadata_or_a_second_writer(place: Place, wanted: Make) -> None:
    os.mkfifo(place.root / "fifo")
    for kind in (Kind.FILE, Kind.DIRECTORY):
        with pytest.raises(TargetError):
            refresh(place.fd, b"fifo", wanted(kind))
    with pytest.raises(TargetError):
        reopen_file(place.fd, b"fifo", (1, 1))


@pytest.mark.root
def test_device_where_a_file_goes_is_replaced_not_written(place: Place, wanted: Make) -> None:
    os.mknod(place.root / "file", 0o020666, os.makedev(1, 3))
    write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True)
    assert (place.root / "file").read_bytes() == b"new"


def test_full_directory_where_a_file_goes_stays(place: Place, wanted: Make) -> None:
    """Replacing a whole directory by a file would lose more than the user was asked about."""
    (place.root / "file").mkdir()
    (place.root / "file" / "kept").touch()
    with pytest.raises(TargetError, match="not empty"):
        write_file(place.fd, b"file", [b"new"], wanted(size=3), replace=True)
    assert os.listdir(place.root) == ["file"]
    assert (place.root / "file" / "kept").exists()


def test_second_entry_of_one_name_does_not_replace_the_first(place: Place, wanted: Make) -> None:
    """Duplicate names, or names that the file system takes for equal: the first is not lost silently."""
    write_file(place.fd, b"file", [b"first"], wanted(size=5))
    with pytest.raises(TargetError):
        write_file(place.fd, b"file", [b"other"], wanted(size=5))
    with pytest.raises(TargetError):
        create_node(place.fd, b"file", wanted(Kind.SYMLINK, content=b"x"))
    assert (place.root / "file").read_bytes() == b"first"


def test_symlink_then_file_below_it(place: Place, wanted: Make) -> None:
    """The classic: first a symlink, then an entry below it."""
    create_node(place.fd, b"a", wanted(Kind.SYMLINK, content=b"../outside"))
    with nothing_happens_outside(place), pytest.raises(TargetError):
        place.directories.make(b"a")


def test_hard_link_through_a_symlink_links_the_symlink(place: Place, wanted: Make) -> None:
    create_node(place.fd, b"first", wanted(Kind.SYMLINK, content=b"../outside/victim"))
    with nothing_happens_outside(place):
        assert link((place.fd, b"first"), place.fd, b"second")
    assert (place.root / "second").is_symlink()


def test_directory_that_became_a_symlink_is_not_written_through(place: Place, wanted: Make) -> None:
    """An open directory stays the one that was opened."""
    place.directories.make(b"a")
    (place.root / "a").rename(place.root / "moved")
    (place.root / "a").symlink_to("../outside")
    with nothing_happens_outside(place):
        write_file(place.directories.open(b"a"), b"file", [b"new"], wanted(size=3))
        place.directories.forget(b"a")
        with pytest.raises(TargetError):
            place.directories.open(b"a")
    assert (place.root / "moved" / "file").exists()


def test_unmatched_symlinks_are_deleted_not_followed(place: Place) -> None:
    (place.root / "a" / "b").mkdir(parents=True)
    (place.root / "a" / "b" / "link").symlink_to("../../../outside")
    (place.root / "a" / "file").symlink_to("../../outside/victim")
    with nothing_happens_outside(place):
        assert delete_unmatched(place.directories, b"", b"a").kept == []
    assert os.listdir(place.root) == []


def test_impossible_values_are_losses_or_errors_not_crashes(place: Place, wanted: Make) -> None:
    """A hostile snapshot ends no worker."""
    huge = 2**70
    file = create_file(place.fd, b"file")
    losses = finish_file(place.fd, file, wanted(mtime_ns=huge, uid=huge, gid=huge, owner=(huge, huge), mode=0o4755))
    assert len(losses) == 3
    assert (place.root / "file").stat().st_mode & 0o7777 == 0o755
    assert apply(place.fd, wanted(Kind.DIRECTORY, xattrs=[(b"", b""), (b"user.\0x", b""), (b"none", b"1")]))
    for major in (huge, 2**40, 2**33):
        with pytest.raises(TargetError):
            create_node(place.fd, b"device", wanted(Kind.CHARACTER_DEVICE, content=Device(major, 1)))
    for content in (b"", b"nul\0byte", b"x" * 5000):
        with pytest.raises(TargetError):
            create_node(place.fd, b"symlink", wanted(Kind.SYMLINK, content=content))
    assert os.listdir(place.root) == ["file"]


def test_wrong_owner_gets_no_setuid(place: Place, wanted: Make) -> None:
    """A set-user-id program of another user must not come back as ours."""
    file = create_file(place.fd, b"file")
    losses = finish_file(place.fd, file, wanted(mode=0o6755, uid=4321, gid=4321, owner=None))
    assert losses == ["set-user-id and set-group-id: left out, the owner is another"]
    assert (place.root / "file").stat().st_mode & 0o7777 == 0o755


def test_racing_symlinks_do_not_lead_out(place: Place, wanted: Make) -> None:
    """Another user swaps a directory of the target for a symlink, again and again, while files are written."""
    (place.root / "a").mkdir()
    with nothing_happens_outside(place), _swapping(place.root / "a", place.root / "b", "../outside"):
        written = 0
        for number in range(1500):
            directories = Directories(place.fd)
            with suppress(TargetError):
                fd, _ = directories.make(b"a")
                write_file(fd, b"file", [b"%d" % number], wanted(size=4), replace=True)
                apply(directories.open(b"a"), wanted(Kind.DIRECTORY, mode=0o755))
                written += 1
            directories.close()
    assert written


def test_racing_symlinks_at_the_name_itself(place: Place, wanted: Make) -> None:
    """A name swapped between a file and a symlink to the outside, while it is replaced, reopened and refreshed."""
    (place.root / "file").write_bytes(b"1")
    with nothing_happens_outside(place), _swapping(place.root / "file", place.root / "other", "../outside/victim"):
        for _ in range(700):
            with suppress(TargetError):
                refresh(place.fd, b"file", wanted(mode=0o777))
            with suppress(TargetError):
                refresh(place.fd, b"file", wanted(Kind.FIFO, mode=0o777))
            with suppress(TargetError):
                os.close(reopen_file(place.fd, b"file", (0, 0)))
            with suppress(TargetError):
                file = create_file(place.fd, b"new", replace=True)
                abandon_file(place.fd, file)
            with suppress(TargetError):
                write_file(place.fd, b"file", [b"2"], wanted(size=1), replace=True)
    assert place.seen()


@contextmanager
def _swapping(path: Path, aside: Path, target: str) -> Generator[None, None, None]:
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                path.rename(aside)
            with suppress(OSError):
                path.symlink_to(target)
            with suppress(OSError):
                path.unlink()
            with suppress(OSError):
                aside.rename(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _chattr(change: str, path: Path) -> None:
    assert os.spawnlp(os.P_WAIT, "chattr", "chattr", change, str(path)) == 0
