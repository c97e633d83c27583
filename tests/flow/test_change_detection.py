"""Change detection: what a run wrongly takes for unchanged no later run ever stores (DESIGN 7; RELIABILITY F2)."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.model.orders import FilterWord
from tests.support.backing_up import NO_MORE, Bench, counts, problems, read_bytes, run_of
from tests.support.editing import Editor
from tests.support.ordinary_user import run_without_override

pytestmark = pytest.mark.platform("linux")

SEED = 20261121
EDITS, EDITS_A_ROUND = 160, 80
BY_NIGHT = (400, 80)
AT_FULL_SIZE = (10_000, 200)
FILTERS = ("*.log", "e1", "u*", "wide", "n0?1*", "link*")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With an empty source."""
    return Bench(tmp_path)


def test_no_edit_is_missed(bench: Bench, request: pytest.FixtureRequest) -> None:
    """Each of these edits left as it was in the backup is a file that comes back old, or not at all."""
    seed = request.config.getoption("--fault-seed") or SEED
    is_full, is_night = request.config.getoption("--full-size"), request.config.getoption("--nightly")
    wanted, a_round = AT_FULL_SIZE if is_full else BY_NIGHT if is_night else (EDITS, EDITS_A_ROUND)
    editor = Editor(bench.source, seed)
    editor.build()
    sys.stdout.write(f"seed {seed}\n")
    done = 0
    while True:
        outcome = bench.back_up()
        differences = bench.truth.differences(bench.source)
        assert not differences, (seed, done, differences[:20], editor.log[-a_round:])
        assert outcome.done.exit_code == 0, problems(outcome)
        if done >= wanted:
            break
        # Most of the tree is not read again, or nothing was put to the test.
        assert not done or counts(outcome)["same"] > 10_000
        editor.edit(a_round)
        done += a_round
    assert bench.differences() == []


def test_filters_may_change_between_runs(bench: Bench, request: pytest.FixtureRequest) -> None:
    """A tree taken over under other filters would lack what is in now, or keep what is out."""
    editor = Editor(bench.source, SEED + 1)
    editor.build()
    for _ in range(5 if request.config.getoption("--nightly") else 2):
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
    # The first run makes the directory above newer: it makes the place beside the source. Other programs make files in
    # the directories above that.
    bench.back_up()
    before: list[int] = []
    for _ in range(20):
        now = [above.stat().st_mtime_ns for above in bench.source.parents]
        outcome = bench.back_up()
        if before == now == [above.stat().st_mtime_ns for above in bench.source.parents]:
            break
        before = now
    run = run_of(outcome)
    assert counts(outcome) == {"seen": 61, "new": 0, "changed": 0, "same": 61, "gone": 0, "left_out": 0, **NO_MORE}
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
def mounted(image: Path, point: Path, *mount: str) -> Generator[None, None, None]:
    """The file system in a file, for a while."""
    point.mkdir(exist_ok=True)
    subprocess.run([*mount, str(image), str(point)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


def make_image(path: Path, *make: str) -> Path:
    """A small file system in a file."""
    path.touch()
    os.truncate(path, 64 << 20)
    subprocess.run([*make, str(path)], check=True, capture_output=True)
    return path


@pytest.mark.root
@pytest.mark.needs("mkfs.exfat", "mount.exfat-fuse", "losetup")
def test_file_system_that_numbers_its_files_anew(bench: Bench, tmp_path: Path) -> None:
    """A camera's card: read whole at each run, were inode numbers taken for what they are elsewhere."""
    image = make_image(tmp_path / "card", "mkfs.exfat")
    point = tmp_path / "mounted"
    bench.source = point / "pictures"
    attached = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True)
    device = Path(attached.stdout.strip())
    try:
        with mounted(device, point, "mount.exfat-fuse"):
            for number in range(400):
                bench.write(f"d{number % 4}/f{number:03}", b"%03d" % number * 300)
            bench.back_up()
        for turn in range(2):
            with mounted(device, point, "mount.exfat-fuse"):
                # Numbers are drawn as names are looked up.
                for path in sorted(bench.source.rglob("*"), key=lambda path: path.name[::-1], reverse=bool(turn)):
                    path.lstat()
                # Of another size: its clock ticks every two seconds, and the run's is ahead.
                bench.write("d1/f001", b"%03d" % turn * (310 + turn))
                outcome = bench.back_up()
                assert any("inodes are left out there" in text for text in outcome.done.warnings)
                assert counts(outcome)["changed"] == 1
                assert read_bytes(outcome) < 150 * 900
                assert bench.truth.differences(bench.source) == []
    finally:
        subprocess.run(["losetup", "-d", str(device)], check=True)


@pytest.mark.root
@pytest.mark.needs("mkfs.ext4", "mount")
def test_edits_within_one_tick_of_the_file_systems_clock(bench: Bench, tmp_path: Path) -> None:
    """With one second a tick, a file saved twice around a run looks the same: it would never be backed up again."""
    image, point = make_image(tmp_path / "image", "mkfs.ext4", "-q", "-I", "128"), tmp_path / "mounted"
    with mounted(image, point, "mount", "-o", "loop"):
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
