"""Change detection: what a run wrongly takes for unchanged no later run ever stores (DESIGN 7; RELIABILITY F2)."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.model.orders import FilterWord, Limits
from tests.support.backing_up import Bench, counts, problems, read_bytes, run_of
from tests.support.editing import Editor
from tests.support.ordinary_user import run_without_override

pytestmark = pytest.mark.platform("linux")

SEED = int(os.environ.get("CHANGE_DETECTION_SEED", "20261121"))
EDITS = int(os.environ.get("CHANGE_DETECTION_EDITS", "300"))
EDITS_A_ROUND = 25
FILTERS = ("*.log", "e1", "u*", "wide", "n0?1*", "link*")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With an empty source."""
    return Bench(tmp_path)


def test_no_edit_is_missed(bench: Bench) -> None:
    """Each of these edits left as it was in the backup is a file that comes back old, or not at all."""
    editor = Editor(bench.source, SEED)
    editor.build()
    sys.stdout.write(f"seed {SEED}\n")
    done = 0
    while True:
        outcome = bench.back_up()
        differences = bench.truth.differences(bench.source)
        assert not differences, (SEED, done, differences[:20], editor.log[-EDITS_A_ROUND:])
        assert outcome.done.exit_code == 0, problems(outcome)
        if done >= EDITS:
            break
        # Most of the tree is not read again, or nothing was put to the test.
        assert not done or counts(outcome)["same"] > 10_000
        editor.edit(EDITS_A_ROUND)
        done += EDITS_A_ROUND
    assert bench.differences() == []


def test_filters_may_change_between_runs(bench: Bench) -> None:
    """A tree taken over under other filters would lack what is in now, or keep what is out."""
    editor = Editor(bench.source, SEED + 1)
    editor.build()
    for _ in range(7):
        chosen = editor.random.sample(FILTERS, editor.random.randrange(4))
        words = [FilterWord(kind="exclude", value=glob.encode()) for glob in chosen]

        def is_wanted(path: bytes, name: bytes, is_directory: bool, globs: list[str] = chosen) -> bool:
            return not any(fnmatch.fnmatchcase(name.decode(), glob) for glob in globs)

        for _ in range(2):
            outcome = bench.back_up(filters=words)
            differences = bench.truth.differences(bench.source, is_wanted)
            assert not differences, (SEED, chosen, differences[:20])
        # Right after a run with the same filters nothing is read again.
        assert read_bytes(outcome) == 0, chosen
        editor.edit(6)


def test_nothing_is_read_or_stored_when_nothing_changed(bench: Bench) -> None:
    """A nightly run over an unchanged terabyte has to cost next to nothing."""
    for number in range(60):
        bench.write(f"d{number % 7}/f{number}", os.urandom(3000))
    (bench.source / "empty").mkdir()
    os.link(bench.source / "d1/f1", bench.source / "d5/link")
    # The first run makes the directory above newer: it makes the place beside the source.
    bench.back_up()
    bench.back_up()
    outcome = bench.back_up()
    run = run_of(outcome)
    assert counts(outcome) == {"seen": 61, "new": 0, "changed": 0, "same": 61, "gone": 0, "left_out": 0}
    assert (run["bytes"]["read"], run["bytes"]["new"], run["destinations"][0]["stored_bytes"]) == (0, 0, 0)


def test_what_is_young_is_read_again_and_then_rests(bench: Bench) -> None:
    """A change that bears the same stamps as what was read can only be found by reading."""
    path = bench.write("f", b"one")
    bench.back_up_now()
    again = bench.back_up_now()
    assert (read_bytes(again), counts(again)["changed"], counts(again)["same"]) == (3, 0, 1)
    assert read_bytes(bench.back_up()) == 3
    assert read_bytes(bench.back_up()) == 0
    # Stamps that lie in the future can't tell what comes after them.
    os.utime(path, ns=(0, 2**62))
    bench.back_up()
    assert read_bytes(bench.back_up()) == 3


@contextmanager
def mounted(above: Path, *make: str) -> Generator[Path, None, None]:
    """A small file system of its own in a file."""
    image, point = above / "image", above / "mounted"
    image.touch()
    os.truncate(image, 64 << 20)
    point.mkdir()
    subprocess.run([*make, str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


@pytest.mark.root
@pytest.mark.needs("mkfs.ext4", "mount")
def test_edits_within_one_tick_of_the_file_systems_clock(bench: Bench, tmp_path: Path) -> None:
    """With one second a tick, a file saved twice around a run looks the same: it would never be backed up again."""
    with mounted(tmp_path, "mkfs.ext4", "-q", "-I", "128", "-O", "^metadata_csum") as point:
        bench.source = point / "source"
        bench.source.mkdir()
        unseen = 0
        for number in range(4):
            path = bench.write("f", b"%d before" % number)
            large = bench.write("large", b"%d" % number * (9 << 20))
            bench.back_up_now()
            stamps = [(p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in (path, large)]
            for edited in (path, large):
                with edited.open("r+b") as file:
                    file.seek(3)
                    file.write(b"after!")
            unseen += stamps == [(p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in (path, large)]
            bench.back_up_now()
            assert bench.truth.differences(bench.source) == []
        sys.stdout.write(f"{unseen} of 4 edits moved no time stamp\n")


@pytest.mark.root
def test_permissions_mended_between_runs(bench: Bench) -> None:
    """What could not be read once has to come in as soon as it can be, though nothing about it looks newer."""
    bench.write("closed", b"secret")
    bench.write("room/inside", b"inside")
    bench.write("open", b"open")
    bench.write("room2/f", b"f")
    os.setxattr(bench.source / "room", "user.note", b"n" * 700)

    def back_up() -> list[Any]:
        bench.clock.ahead_seconds += 120
        outcome = bench.back_up()
        return [outcome.done.exit_code, sorted(problem["path"] for problem in problems(outcome))]

    for path in ("closed", "room"):
        (bench.source / path).chmod(0)
    expected = [3, [f"{bench.source}/closed", f"{bench.source}/room"]]
    # Twice: a loss is told each time, not only while it is new.
    assert [run_without_override(back_up), run_without_override(back_up)] == [expected, expected]
    # Root with all its privileges reads them: the stamps are as before.
    bench.clock.ahead_seconds += 600
    assert back_up() == [0, []]
    assert bench.truth.differences(bench.source) == []
    for path, mode in (("closed", 0o600), ("room", 0o700)):
        (bench.source / path).chmod(mode)
    assert run_without_override(back_up) == [0, []]
    bench.clock.ahead_seconds += 600
    assert bench.truth.differences(bench.source) == []


@pytest.mark.root
def test_directories_above_that_may_only_be_searched(bench: Bench) -> None:
    """A home below a directory of mode 0711 is backed up like any other."""
    bench.write("above/home/f", b"mine")
    bench.write("above/other/f", b"other")
    above = bench.source / "above"
    above.chmod(0o111)

    def back_up() -> list[Any]:
        outcome = bench.back_up(sources=[bytes(above / "home")])
        return [outcome.done.exit_code, counts(outcome)["seen"]]

    assert run_without_override(back_up) == [0, 1]
    assert bench.truth.differences(above / "home") == []


def test_hard_links_whose_directory_moved(bench: Bench) -> None:
    """One name read anew, the other taken from the cache: they must come back as one file."""
    for one, other in (("a", "m"), ("x", "n")):
        bench.write(f"{one}/f", one.encode() * 5000)
        (bench.source / other).mkdir()
        os.link(bench.source / one / "f", bench.source / other / "g")
        bench.write(f"{other}/beside", b"beside")
    bench.back_up()
    # The one is now met before the name in the cache, the other after it.
    (bench.source / "a").rename(bench.source / "z")
    (bench.source / "x").rename(bench.source / "b")
    outcome = bench.back_up()
    assert bench.truth.differences(bench.source) == []
    assert counts(outcome)["same"] >= 2
    assert read_bytes(bench.back_up()) == 0
    assert bench.truth.differences(bench.source) == []


def test_two_hard_linked_files_are_never_taken_for_one(bench: Bench) -> None:
    """A new pair under the path of an old one: a restore would give both the content of one."""
    bench.write("p/f", b"old" * 1000)
    (bench.source / "q").mkdir()
    os.link(bench.source / "p/f", bench.source / "q/f")
    bench.back_up()
    (bench.source / "p").rename(bench.source / "z")
    bench.write("p/f", b"new" * 1000)
    os.link(bench.source / "p/f", bench.source / "p/g")
    bench.back_up()
    assert bench.truth.differences(bench.source) == []


def test_a_file_named_as_source_is_not_read_again(bench: Bench) -> None:
    """A disk image named by itself would be read whole every night."""
    path = bench.write("image", os.urandom(9 << 20))
    for sources, read in (([path], 9 << 20), ([path], 0), ([path, bench.write("second")], 10)):
        outcome = bench.back_up(sources=[bytes(source) for source in sources], set_name="one")
        assert read_bytes(outcome) == read
    bench.back_up(set_name="one")
    assert bench.truth.differences(bench.source) == []


def test_a_lost_block_is_stored_again_though_no_file_changed(bench: Bench) -> None:
    """Damage that is known must not be built on for ever."""
    for number in range(20):
        bench.write(f"d{number % 3}/f{number}", os.urandom(5000))
    os.setxattr(bench.source / "d1", "user.long", b"x" * 2000)
    bench.back_up()
    for block in bench.place.glob("r*/blocks/*/*"):
        block.unlink()
    assert bench.machine.bkctl("check", "--from", bench.place).returncode == 20
    outcome = bench.back_up()
    assert read_bytes(outcome) == 20 * 5000
    assert bench.truth.differences(bench.source) == []


def test_once_a_month_every_file_is_read(bench: Bench) -> None:
    """What no time stamp tells (a store through a memory map, a bad disk) is found some day."""
    bench.write("f", b"data")
    bench.back_up()
    for days, read in ((20, 0), (13, 4), (20, 0), (10, 0), (3, 4)):
        bench.clock.ahead_seconds += days * 86_400
        assert read_bytes(bench.back_up()) == read, days


class Mutator:
    """Changes a source 100 times a second, no file twice within a tenth of a second."""

    def __init__(self, root: Path) -> None:
        self.changes = 0
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Mutator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        kinds: list[Callable[[Path, int], None]] = [
            self._write, self._append, self._replace, self._come_and_go, self._move_directory, self._swap,
        ]  # fmt: skip
        while not self._stop.wait(0.01):
            self.changes += 1
            kinds[self.changes % len(kinds)](self._root / f"d{self.changes // 6 % 40}", self.changes)

    def _write(self, folder: Path, number: int) -> None:
        with (folder / "written").open("r+b") as file:
            file.seek(number % 100)
            file.write(b"%d" % number)

    def _append(self, folder: Path, number: int) -> None:
        for name in ("log", "../growing"):
            with (folder / name).open("ab") as file:
                file.write(b"%d\n" % number * 50)

    def _replace(self, folder: Path, number: int) -> None:
        fresh = folder / "fresh"
        fresh.write_bytes(b"%020d" % number)
        fresh.replace(folder / "replaced")

    def _come_and_go(self, folder: Path, number: int) -> None:
        path = folder / "passing"
        if path.exists():
            path.unlink()
        else:
            path.write_bytes(b"%d" % number)

    def _move_directory(self, folder: Path, number: int) -> None:
        here, there = folder / "here", folder / "there"
        (here if here.exists() else there).rename(there if here.exists() else here)

    def _swap(self, folder: Path, number: int) -> None:
        path = folder / "swapped"
        if path.is_symlink() or path.is_file():
            path.unlink()
            path.mkdir()
        else:
            shutil.rmtree(path)
            path.symlink_to("target") if number % 2 else path.write_bytes(b"file")


def test_source_in_motion(bench: Bench) -> None:
    """A busy server: each run ends, says which files it caught in the middle of a change, and misses nothing later."""
    for number in range(40):
        for name in ("written", "log", "replaced", "here/inside", "swapped"):
            bench.write(f"d{number}/{name}", os.urandom(2000))
        for still in range(20):
            bench.write(f"d{number}/still{still}", os.urandom(20_000))
    bench.write("growing", os.urandom(40 << 20))
    kinds: set[str] = set()
    with Mutator(bench.source) as mutator:
        for turn in range(4):
            outcome = bench.back_up_now(limits=Limits(polite=False, jobs=2)) if turn < 2 else bench.back_up()
            kinds |= {problem["kind"] for problem in problems(outcome)}
            assert outcome.done.exit_code in (0, 3)
            assert (outcome.done.exit_code == 3) == bool(run_of(outcome)["problems"]["count"])
            if turn == 0:
                # The large file grew while it was read, and again when it was read once more.
                assert outcome.done.exit_code == 3
                assert f"{bench.source}/growing" in [problem["path"] for problem in problems(outcome)]
        assert mutator.changes > 50
    sys.stdout.write(f"{mutator.changes} changes, problems: {sorted(kinds)}\n")
    assert kinds <= {"changed", "vanished", "unreadable"}
    outcome = bench.back_up()
    assert outcome.done.exit_code == 0
    assert bench.truth.differences(bench.source) == []
