"""What changes in watched directories is told, or said to be lost; nothing in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import inotify_simple
import pytest

from backupd.source.changes import MOST_DIRECTORIES, Changes
from backupd.source.watching import TreeWatch

pytestmark = pytest.mark.platform("linux")

Make = Callable[..., TreeWatch]


@pytest.fixture
def make() -> Generator[Make, None, None]:
    """A watch of sources, in which `out` is left out; time passes with each look at the clock."""
    made: list[TreeWatch] = []
    ticks = iter(range(0, 10**9, 10))

    def begin(*sources: Path, one_file_system: bool = False) -> TreeWatch:
        made.append(
            TreeWatch(
                [os.fsencode(one) for one in sources],
                lambda _, name, __: name == b"out",
                lambda: next(ticks),
                one_file_system=one_file_system,
            )
        )
        return made[-1]

    yield begin
    for one in made:
        one.close()


def _told(tree: TreeWatch, top: Path) -> tuple[set[str], set[str], bool]:
    changes = tree.wait(2)

    def shown(paths: set[bytes]) -> set[str]:
        return {os.fsdecode(os.path.relpath(path, os.fsencode(top))) for path in paths}

    return shown(changes.directories), shown(changes.trees), changes.is_lost


def test_the_directory_of_each_change_is_told(tmp_path: Path, make: Make) -> None:
    """Whatever the name and the kind of the change."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    tree = make(tmp_path)
    assert tree.count == 3
    (tmp_path / "a" / "b" / "\udcff").write_text("x")
    assert _told(tree, tmp_path) == ({"a/b"}, set(), False)
    os.chmod(tmp_path / "a" / "b", 0o700)
    assert _told(tree, tmp_path) == ({"a"}, set(), False)
    os.setxattr(tmp_path / "a" / "b" / "\udcff", "user.x", b"1")
    assert _told(tree, tmp_path) == ({"a/b"}, set(), False)
    os.symlink("nowhere", tmp_path / "a" / "link")
    assert _told(tree, tmp_path) == ({"a"}, set(), False)
    assert not tree.wait(0.05)


def test_what_is_left_out_is_not_watched(tmp_path: Path, make: Make) -> None:
    """A run that writes there would begin the next one."""
    (tmp_path / "out" / "below").mkdir(parents=True)
    tree = make(tmp_path)
    (tmp_path / "out" / "below" / "file").write_text("x")
    (tmp_path / "out" / "file").write_text("x")
    assert not tree.wait(0.3)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "out").mkdir()
    assert _told(tree, tmp_path) == ({"."}, {"new"}, False)
    (tmp_path / "new" / "out" / "file").write_text("x")
    assert not tree.wait(0.3)


def test_what_comes_moves_and_goes_is_followed(tmp_path: Path, make: Make) -> None:
    """With all that it brings along, and with what it is called now."""
    tree = make(tmp_path)
    (tmp_path / "one" / "two" / "three").mkdir(parents=True)
    assert _told(tree, tmp_path)[1] == {"one"}
    (tmp_path / "one" / "two" / "three" / "file").write_text("x")
    assert _told(tree, tmp_path)[0] == {"one/two/three"}
    (tmp_path / "one" / "two").rename(tmp_path / "moved")
    assert _told(tree, tmp_path) == ({".", "one"}, {"moved"}, False)
    (tmp_path / "moved" / "three" / "file").write_text("y")
    assert _told(tree, tmp_path)[0] == {"moved/three"}
    shutil.rmtree(tmp_path / "moved")
    assert "." in _told(tree, tmp_path)[0]
    tree.wait(0.05)
    assert tree.count == 2


def test_more_than_the_system_keeps_is_told_as_lost(tmp_path: Path, make: Make) -> None:
    """And all is watched anew: directories that came meanwhile, too."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    tree = make(tmp_path)
    (tmp_path / "late").mkdir()
    for number in range(limit // 2 + 1):
        path = tmp_path / str(number)
        path.touch()
        path.unlink()
    assert _told(tree, tmp_path)[2]
    tree.wait(0.05)
    (tmp_path / "late" / "file").write_text("x")
    assert _told(tree, tmp_path) == ({"late"}, set(), False)


def test_many_directories_at_once_are_told_as_lost() -> None:
    """An order must not grow without end."""
    changes = Changes()
    for number in range(MOST_DIRECTORIES):
        changes.note(b"/%d" % number)
    assert not changes.is_lost
    changes.note(b"/one more")
    assert changes.is_lost


def test_a_source_may_be_a_file_or_come_later(tmp_path: Path, make: Make) -> None:
    """Beside a file nothing counts; a source that goes and comes is watched again."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "file2").write_text("x")
    tree = make(tmp_path / "file", tmp_path / "file2", tmp_path / "later")
    assert tree.count == 1
    (tmp_path / "other").write_text("x")
    assert not tree.wait(0.3)
    (tmp_path / "file2").write_text("y")
    assert _told(tree, tmp_path) == ({"."}, set(), False)
    for _ in range(2):
        (tmp_path / "later" / "below").mkdir(parents=True)
        assert _told(tree, tmp_path) == ({"."}, {"later"}, False)
        (tmp_path / "later" / "below" / "file").write_text("x")
        assert _told(tree, tmp_path)[0] == {"later/below"}
        shutil.rmtree(tmp_path / "later")
        assert "." in _told(tree, tmp_path)[0]
        tree.wait(0.05)


def test_without_a_watch_left_it_says_where(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of the whole system can't be lowered for a test, so the call is refused here."""
    (tmp_path / "a").mkdir()
    add = inotify_simple.INotify.add_watch

    def refuse(self: object, path: bytes, mask: int) -> int:
        if path.endswith(b"/a"):
            raise OSError(28, "No space left on device")
        return int(add(self, path, mask))

    monkeypatch.setattr(inotify_simple.INotify, "add_watch", refuse)
    tree = make(tmp_path)
    assert tree.is_blind
    assert (tree.unwatched, tree.count) == (os.fsencode(tmp_path / "a"), 1)


def test_a_directory_that_lets_itself_be_watched_later_is(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read anything, so the call is refused here until the rights have changed."""
    (tmp_path / "a").mkdir(mode=0o000)
    add = inotify_simple.INotify.add_watch

    def refuse(self: object, path: bytes, mask: int) -> int:
        if path.endswith(b"/a") and not os.stat(path).st_mode & 0o700:
            raise PermissionError(13, "Permission denied")
        return int(add(self, path, mask))

    monkeypatch.setattr(inotify_simple.INotify, "add_watch", refuse)
    tree = make(tmp_path)
    assert tree.count == 1
    os.chmod(tmp_path / "a", 0o700)
    assert _told(tree, tmp_path) == ({"."}, {"a"}, False)
    (tmp_path / "a" / "file").write_text("x")
    assert _told(tree, tmp_path)[0] == {"a"}


def test_a_directory_that_shows_twice_is_said_to_be(tmp_path: Path, make: Make) -> None:
    """The system tells of one of its two paths; here one source lies in the other by another way to it."""
    (tmp_path / "a").mkdir()
    assert not make(tmp_path / "a").is_blind
    tree = make(tmp_path / "a", tmp_path / "a" / ".." / "a")
    assert (tree.is_blind, tree.count) == (True, 1)
    assert tree.wait(0.05).is_lost
