"""Paths that the system tells of become directories that runs look at; what it may have lost is said to be lost."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

import pytest

from backupd.source.event_watching import EventWatch
from backupd.source.hearing import Hearing, Told
from tests.support.mounting import tmpfs
from tests.support.running import children

Make = Callable[..., EventWatch]


@pytest.fixture
def make() -> Generator[Make, None, None]:
    """A watch of sources, in which `out` is left out; time passes with each look at the clock."""
    made: list[EventWatch] = []
    ticks = iter(range(0, 10**9, 10))

    def begin(*sources: Path, one_file_system: bool = False) -> EventWatch:
        made.append(
            EventWatch(
                [os.fsencode(one) for one in sources],
                lambda _, name, __: name == b"out",
                lambda: next(ticks),
                one_file_system=one_file_system,
                hear=partial(Hearing, milliseconds=20),
            )
        )
        return made[-1]

    yield begin
    for one in made:
        one.close()


def _shown(paths: set[bytes], top: Path) -> set[str]:
    return {os.fsdecode(os.path.relpath(path, os.fsencode(top))) for path in paths}


def _hear(tree: EventWatch, top: Path, *directories: str, trees: Sequence[str] = ()) -> set[str]:
    """Wait until all of that is told, whatever else is besides; gives the directories."""
    found, came, end = set[str](), set[str](), time.monotonic() + 20
    while not (found.issuperset(directories) and came.issuperset(trees)):
        assert time.monotonic() < end, (found, came)
        changes = tree.wait(1)
        found |= _shown(changes.directories, top)
        came |= _shown(changes.trees, top)
        assert not changes.is_lost
    return found


def _loses(tree: EventWatch) -> bool:
    """Whether it says within some seconds that changes were lost."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if tree.wait(1).is_lost:
            return True
    return False


def _child() -> int:
    (found,) = [
        pid for pid in children(os.getpid()) if b"backupd.watcher" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return found


def test_the_directory_of_each_change_is_told(tmp_path: Path, make: Make) -> None:
    """With a directory whose own mode changed it is looked at, too."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    tree = make(tmp_path)
    assert (tree.count, tree.is_blind, tree.unwatched) == (1, False, b"")
    (tmp_path / "a" / "b" / "näme\n], attr").write_text("x")
    assert _hear(tree, tmp_path, "a/b") == {"a/b"}
    os.chmod(tmp_path / "a" / "b", 0o700)
    assert _hear(tree, tmp_path, "a", "a/b")
    os.symlink("nowhere", tmp_path / "a" / "link")
    assert _hear(tree, tmp_path, "a")


def test_what_is_left_out_is_not_told(tmp_path: Path, make: Make) -> None:
    """All below a directory is heard; a run that writes where nothing is backed up would begin the next one."""
    (tmp_path / "out" / "below").mkdir(parents=True)
    (tmp_path / "new" / "out").mkdir(parents=True)
    tree = make(tmp_path)
    (tmp_path / "out" / "below" / "file").write_text("x")
    (tmp_path / "out" / "file").write_text("x")
    (tmp_path / "new" / "out" / "file").write_text("x")
    shutil.rmtree(tmp_path / "out" / "below")
    assert not tree.wait(0.5)


def test_what_comes_moves_and_goes_is_followed(tmp_path: Path, make: Make) -> None:
    """Of a directory that is moved nothing is told but itself."""
    tree = make(tmp_path)
    (tmp_path / "one" / "two" / "three").mkdir(parents=True)
    assert _hear(tree, tmp_path, ".", trees=["one"])
    (tmp_path / "one" / "two").rename(tmp_path / "moved")
    assert _hear(tree, tmp_path, ".", "one", trees=["moved"])
    (tmp_path / "moved" / "three" / "file").write_text("y")
    assert _hear(tree, tmp_path, "moved/three")
    shutil.rmtree(tmp_path / "moved")
    (tmp_path / "moved").mkdir()
    assert _hear(tree, tmp_path, ".", trees=["moved"])


def test_more_than_the_system_keeps_is_told_as_lost(tmp_path: Path, make: Make) -> None:
    """The library gives it to nobody: this is what its lines for debugging are read for."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    tree = make(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tree.wait(2)
    os.kill(_child(), signal.SIGSTOP)
    for _ in range(limit // 2 + 1):
        os.utime(tmp_path / "a")
        os.utime(tmp_path / "b")
    os.kill(_child(), signal.SIGCONT)
    assert _loses(tree)
    (tmp_path / "b" / "file").write_text("x")
    assert _hear(tree, tmp_path, "b")


@pytest.mark.parametrize(
    ("line", "is_lost"),
    [
        # As macOS has it of MustScanSubDirs: without a path.
        ("raw-event=Other event.kind=Other no change detected", True),
        ("a version of the library that has other words", True),
        ("raw-event=Access(Open(Any)) event.kind=Access(Open(Any)) no change detected", False),
    ],
)
def test_a_line_of_the_library_that_is_no_change_is_doubt(
    tmp_path: Path, make: Make, line: str, is_lost: bool
) -> None:
    """Only in these lines it says that something was lost."""
    tree = make(tmp_path)
    Path(f"/proc/{_child()}/fd/2").write_text(f"{line}\n")
    assert tree.wait(0.3).is_lost == is_lost


def test_a_source_may_be_a_file_or_come_later(tmp_path: Path, make: Make) -> None:
    """Beside a file nothing counts; a source that goes and comes is watched again, and looked at whole."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "file2").write_text("x")
    tree = make(tmp_path / "file", tmp_path / "file2", tmp_path / "later")
    assert tree.count == 1
    (tmp_path / "other").write_text("x")
    assert not tree.wait(0.3)
    (tmp_path / "new").write_text("y")
    (tmp_path / "new").rename(tmp_path / "file2")
    assert _hear(tree, tmp_path, ".")
    (tmp_path / "later" / "below").mkdir(parents=True)
    assert _loses(tree)
    shutil.rmtree(tmp_path / "later")
    (tmp_path / "later" / "below").mkdir(parents=True)
    assert _loses(tree)
    (tmp_path / "later" / "below" / "file").write_text("x")
    assert _hear(tree, tmp_path, "later/below")


def test_whoever_hears_no_more_says_so(tmp_path: Path, make: Make) -> None:
    """The daemon starts another one then, which looks at everything."""
    tree = make(tmp_path)
    os.kill(_child(), signal.SIGKILL)
    with pytest.raises(OSError, match="ended"):
        tree.wait(5)
    tree = make(tmp_path)
    (tmp_path / "\udcff").write_text("a name that the library can't tell")
    with pytest.raises(OSError, match="decode"):
        tree.wait(5)
    with pytest.raises(OSError, match="No path was found"):
        Hearing([b"/nowhere"], [])


class _Recorded:
    """Tells what a system told."""

    told = Told()

    def wait(self, seconds: float) -> Told:
        """Once."""
        told, self.told = self.told, Told()
        return told

    def close(self) -> None:
        """Nothing to end."""


def _recorded(top: Path, *sources: str, is_one: bool = False) -> tuple[EventWatch, _Recorded]:
    """A watch on a file system that knows no case, as that of macOS: it writes names as they were made."""
    ear = _Recorded()

    def true(path: bytes) -> bytes:
        found = b"/"
        for name in filter(None, path.split(b"/")):
            listed = [one for one in os.listdir(found) if one.lower() == name.lower()]
            if not listed:
                raise FileNotFoundError(path)
            found = os.path.join(found, listed[0])
        return found

    watch = EventWatch(
        [os.fsencode(top / one) for one in sources],
        lambda _, name, is_directory: name == b"out" or (name == b"cache" and is_directory),
        time.monotonic,
        one_file_system=is_one,
        true=true,
        hear=lambda *_: ear,
    )
    return watch, ear


def test_names_told_in_another_case_are_those_that_runs_know(tmp_path: Path) -> None:
    """Else a run finds nothing by them, and the change is stored a day later."""
    (tmp_path / "Docs" / "Deep").mkdir(parents=True)
    watch, ear = _recorded(tmp_path, "Docs")
    top = os.fsencode(tmp_path)
    ear.told = Told(changed={top + b"/Docs/deep/file"}, come={top + b"/Docs/DEEP/Gone/file"})
    changes = watch.wait(0)
    assert _shown(changes.directories, tmp_path) == {"Docs/Deep", "Docs/Deep/Gone"}
    assert not changes.is_lost


def test_what_is_told_of_no_source_is_doubt(tmp_path: Path) -> None:
    """The system wrote a path in a way that isn't known here."""
    (tmp_path / "docs").mkdir()
    watch, ear = _recorded(tmp_path, "docs")
    ear.told = Told(changed={b"/System/Volumes/Data" + os.fsencode(tmp_path) + b"/docs/file"})
    assert watch.wait(0).is_lost
    ear.told = Told(changed={os.fsencode(tmp_path) + b"/docs2/file"})
    assert watch.wait(0).is_lost


def test_all_of_the_machine_may_be_a_source(tmp_path: Path) -> None:
    """Its path ends with a slash as no other one does."""
    watch, ear = _recorded(Path("/"), "")
    ear.told = Told(come={os.fsencode(tmp_path / "file"), b"/there is no such thing"})
    changes = watch.wait(0)
    assert (changes.directories, changes.is_lost) == ({os.fsencode(tmp_path), b"/"}, False)


def test_what_is_gone_counts_unless_it_is_left_out_whatever_it_was(tmp_path: Path) -> None:
    """Nobody can tell of a path that is gone whether it was a directory."""
    (tmp_path / "docs").mkdir()
    watch, ear = _recorded(tmp_path, "docs")
    ear.told = Told(come={os.fsencode(tmp_path / "docs" / "out")})
    assert not watch.wait(0)
    ear.told = Told(come={os.fsencode(tmp_path / "docs" / "cache")})
    assert _shown(watch.wait(0).directories, tmp_path) == {"docs"}


@pytest.mark.root
@pytest.mark.parametrize("is_one", [True, False])
def test_another_file_system_is_told_where_runs_enter_it(tmp_path: Path, is_one: bool) -> None:
    """The system tells of all that lies below; of the directory on which it is mounted in either case."""
    (tmp_path / "docs").mkdir()
    with tmpfs(tmp_path / "docs" / "drive", "1m") as drive:
        watch, ear = _recorded(tmp_path, "docs", is_one=is_one)
        ear.told = Told(come={os.fsencode(drive / "file")})
        assert bool(watch.wait(0)) != is_one
        ear.told = Told(changed={os.fsencode(drive)})
        assert "docs" in _shown(watch.wait(0).directories, tmp_path)


def test_sources_within_sources_are_told_once(tmp_path: Path) -> None:
    """By the one that is nearest, for a source is backed up though it lies in a directory that is left out."""
    (tmp_path / "docs" / "out" / "inner").mkdir(parents=True)
    watch, ear = _recorded(tmp_path, "docs", "docs/out/inner")
    ear.told = Told(come={os.fsencode(tmp_path / "docs" / "out" / "inner" / "file")})
    assert _shown(watch.wait(0).directories, tmp_path) == {"docs/out/inner"}
