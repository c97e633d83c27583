"""Filters and caches: what a filter decides otherwise today is in today's snapshot, however little else changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.house import run
from backupd.model.filters import FilterText, FilterWords
from backupd.model.orders import FilterWord
from tests.support.backing_up import Bench, read_bytes

pytestmark = pytest.mark.platform("linux")

DAY = 86400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With a few directories that no run touches."""
    made = Bench(tmp_path)
    for name in ("a/x.log", "a/y.txt", "b/c/z.log", "b/c/w.jpg", "d/e/f/deep.log", "k/l"):
        made.write(name, name.encode())
    return made


def _differences(bench: Bench, without: set[str]) -> list[str]:
    """Between the newest snapshot and all of the source that is not named."""

    def is_wanted(path: bytes, name: bytes, is_directory: bool) -> bool:
        return os.fsdecode(path.removeprefix(bytes(bench.source) + b"/")) not in without

    return bench.truth.differences(bench.source, is_wanted)


def _words(**text: object) -> list[FilterWord]:
    return [FilterWord(kind="text", text=FilterText(**text))]  # type: ignore[arg-type]


def test_what_grows_old_leaves_and_what_is_touched_comes_back(bench: Bench) -> None:
    """The rule is the same in each run: a directory taken over whole would keep what has grown too old."""
    words = _words(action="exclude", ends_with=[".log"], older_than="10d")
    bench.back_up(filters=words)
    assert _differences(bench, set()) == []
    assert read_bytes(bench.back_up(filters=words)) == 0
    assert _differences(bench, set()) == []
    bench.clock.ahead_seconds += 11 * DAY
    bench.back_up(filters=words)
    assert _differences(bench, {"a/x.log", "b/c/z.log", "d/e/f/deep.log"}) == []
    moment = bench.clock.now_ns()
    os.utime(bench.source / "b/c/z.log", ns=(moment, moment))
    bench.back_up(filters=words)
    assert _differences(bench, {"a/x.log", "d/e/f/deep.log"}) == []


def test_what_is_new_no_more_comes_in(bench: Bench) -> None:
    """The other way round: the file is as it was, and in a directory that is as it was."""
    words = _words(action="exclude", exact=["deep.log"], newer_than="5d")
    bench.back_up(filters=words)
    assert _differences(bench, {"d/e/f/deep.log"}) == []
    bench.clock.ahead_seconds += 6 * DAY
    bench.back_up(filters=words)
    assert _differences(bench, set()) == []


def test_types_markers_and_gitignore_files_that_come_and_go(bench: Bench) -> None:
    """None of them is in what a cache is known by, or all of them are."""
    words = FilterWords(markers=[".nobackup"], gitignore=True)
    bench.back_up(filter_words=words)
    assert _differences(bench, set()) == []
    marker, ignore = bench.write("d/e/.nobackup"), bench.write(".gitignore", b"*.jpg\n")
    bench.back_up(filter_words=words)
    inside = {"d/e", "d/e/.nobackup", "d/e/f", "d/e/f/deep.log"}
    assert _differences(bench, inside | {"b/c/w.jpg"}) == []
    ignore.write_bytes(b"*.txt\n")
    marker.unlink()
    bench.back_up(filter_words=words)
    assert _differences(bench, {"a/y.txt"}) == []
    bench.back_up(filter_words=FilterWords(never_types=["images"]))
    assert _differences(bench, {"b/c/w.jpg"}) == []
    bench.back_up(filter_words=FilterWords(only_types=["images", ".log"]))
    assert _differences(bench, {"a/y.txt", "k/l", ".gitignore"}) == []
    bench.back_up(filters=_words(include="*.log"), filter_words=FilterWords(unmatched="exclude"))
    assert _differences(bench, {"a/y.txt", "k/l", ".gitignore", "b/c/w.jpg"}) == []
    bench.back_up()
    assert _differences(bench, set()) == []


def test_a_gitignore_file_that_is_none_leaves_nothing_out(bench: Bench) -> None:
    """Whoever owns a directory of the source makes such files; none of them may stop a run or hide other files."""
    os.mkfifo(bench.source / "a/.gitignore")
    bench.write("b/.gitignore", b"#" * (1 << 20) + b"\n*\n")
    os.symlink("/etc/passwd", bench.source / "d/.gitignore")
    bench.write("k/.gitignore", b"\xff\n[\n\\\n**\x00\n" + b"*a" * 500 + b"b\n")
    done = bench.back_up(filter_words=FilterWords(gitignore=True, markers=["l"])).done
    assert done.exit_code == 0
    assert len([line for line in done.warnings if ".gitignore" in line]) == 3
    assert _differences(bench, {"k", "k/l", "k/.gitignore"}) == []


def test_a_place_of_an_including_filter_is_restored_too(bench: Bench) -> None:
    """What is backed up though no source names it comes back with all the rest."""
    other = bench.above / "other"
    (other / "in").mkdir(parents=True)
    (other / "in" / "id.key").write_bytes(b"key")
    (other / "in" / "no").write_bytes(b"no")
    bench.back_up(filters=_words(action="include", ends_with=[".key"], below=str(other)))
    restored = bench.restore()
    found = restored.parent / "other" / "in"
    assert [path.name for path in found.iterdir()] == ["id.key"]
    assert sorted(path.name for path in restored.iterdir()) == ["a", "b", "d", "k"]


def test_filters_that_decided_nothing_are_told(bench: Bench) -> None:
    """A misspelled filter is found in the log, not after a year in the bill."""
    words = [*_words(exclude="*.log"), *_words(action="exclude", name="old", exact=["nothing"])]
    told: list[object] = []
    context = bench.machine._context(bench.order(filters=words), None, told.append)
    run(bench.order(filters=words), context)
    said = [str(getattr(event, "message", "")) for event in told]
    lines = [line for line in said if line.startswith("no file or directory")]
    assert lines == ["no file or directory was met that the filter 'old' (exclude exact nothing) is about"]
