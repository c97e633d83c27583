"""The main job, from the words of the command to a tree that comes back: sources, names, filters, what is said."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.inode_io import FIXING_FLAGS, write_flags
from backupd.model.orders import BackupOrder, FilterWord, Limits
from backupd.settings.lock import SetLock
from tests.support.backing_up import NO_MORE, Bench, counts, fingerprint, problems, read_bytes, run_of
from tests.support.compare import compare_trees
from tests.support.zoo import Zoo, build_zoo


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With an empty source."""
    return Bench(tmp_path)


@pytest.fixture
def zoo(tmp_path: Path) -> Generator[Zoo, None, None]:
    """Every kind of entry."""
    built = build_zoo(tmp_path / "source")
    yield built
    built.release()


def release(root: Path) -> None:
    """Let what the flags of restored files hold be deleted."""
    for path in (root / "flags").glob("*"):
        if path.exists() and not path.is_symlink():
            fd = os.open(path, os.O_RDONLY)
            write_flags(fd, 0, FIXING_FLAGS)
            os.close(fd)


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("rsync")
def test_printed_commands_bring_every_kind_of_entry_back(tmp_path: Path, zoo: Zoo) -> None:
    """The two commands that a user copies from the screen are all that stands between him and his data."""
    bench = Bench(tmp_path)
    assert zoo.root == bench.source
    told = bench.machine.bkctl("once", bench.source, "--to", bench.place)
    assert told.returncode == 0, told.stderr.decode()
    text = told.stdout.decode()
    (command,) = (line.partition(":")[2] for line in text.splitlines() if line.startswith("All back:"))
    target = bench.machine.home / "restored" / str(bench.source)[1:]
    done = bench.machine.bkctl(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr.decode()
    assert compare_trees(bench.source, target) == []
    # But for the sparse terabyte, which it would read from end to end, and paths longer than it can name.
    excluded = ["--exclude=/sparse/1*", "--exclude=/deep"]
    rsync = ["rsync", "-aHAXin", "--checksum", "--delete", *excluded, f"{bench.source}/", f"{target}/"]
    second = subprocess.run(rsync, capture_output=True, check=False)
    release(target)
    assert (second.returncode, second.stdout.decode(errors="replace")) == (0, "")
    (single,) = (line.partition(":")[2] for line in text.splitlines() if line.startswith("One file:"))
    assert bench.machine.bkctl(*shlex.split(single)[1:]).returncode == 0
    name = os.path.basename(shlex.split(single)[3])
    assert (bench.machine.home / name).exists()


def test_result_and_text_of_a_first_and_a_second_run(bench: Bench) -> None:
    """Scripts read these fields; people read where the only key lies."""
    bench.write("one", b"1" * 1000)
    bench.write("d/two", b"2" * 500)
    document = bench.once("--tag", "why=test", "--tag", "who=me")
    assert (document["schema"], document["command"], document["ok"], document["exit"]) == ("backupd/1", "once", True, 0)
    (run,) = document["result"]["runs"]
    assert run["files"] == {"seen": 2, "new": 2, "changed": 0, "same": 0, "gone": 0, "left_out": 0, **NO_MORE}
    assert (run["bytes"]["seen"], run["bytes"]["read"]) == (1500, 1500)
    assert run["bytes"]["new"] >= 1500
    assert run["problems"] == {"count": 0, "first": [], "kinds": {}, "flagged": 0, "tolerated": {}}
    assert (run["set"], run["exit"], run["job"], run["incomplete"]) == ("source", 0, None, False)
    assert run["snapshot"].startswith("s")
    (destination,) = run["destinations"]
    assert (destination["name"], destination["verdict"], destination["error"]) == (str(bench.place), "good", None)
    assert destination["stored_bytes"] == bench.stored_bytes()
    assert run["key"]["created"]
    assert Path(run["key"]["file"]).stat().st_mode & 0o777 == 0o600
    assert Path(run["key"]["file"]).is_relative_to(bench.machine.home)
    listed = bench.machine.json("snapshot", "list", "--from", bench.place)["result"]["snapshots"]
    assert [one["tags"] for one in listed] == [{"why": "test", "who": "me"}]
    (bench.source / "one").unlink()
    bench.write("three", b"3")
    bench.write("d/two", b"2" * 400)
    second = bench.machine.bkctl("once", bench.source, "--to", bench.place)
    assert b"1 new" in second.stdout
    assert b"1 changed" in second.stdout
    assert b"1 gone" in second.stdout
    assert b"New repository" not in second.stdout
    (run,) = bench.once()["result"]["runs"]
    # What is young is read again, and found the same.
    assert run["files"] == {"seen": 2, "new": 0, "changed": 0, "same": 2, "gone": 0, "left_out": 0, **NO_MORE}
    assert not run["key"]["created"]
    key = bench.machine.bkctl("once", bench.source, "--to", bench.above / "second")
    assert key.stdout.count(b"The only copy") == 1


def test_several_sources_and_the_name_of_their_set(bench: Bench) -> None:
    """Another order of the same paths is the same backup; other paths are another one."""
    for name in ("a/f", "b/f", "c/f"):
        bench.write(name)
    paths = [bytes(bench.source / name) for name in "abc"]
    assert run_of(bench.back_up(sources=paths))["set"] == "source"
    again = bench.back_up(sources=paths[::-1])
    assert (run_of(again)["set"], read_bytes(again)) == ("source", 0)
    assert bench.differences() == []
    other = run_of(bench.back_up(sources=paths[:1]))
    assert other["set"] == "a"
    named = run_of(bench.back_up(sources=paths[:1], set_name="mine", host_name="elsewhere"))
    assert (named["set"], named["host"]) == ("mine", "elsewhere")
    assert named["set_id"] != other["set_id"]
    again = bench.back_up(sources=paths[:1], set_name="mine", host_name="elsewhere")
    assert (run_of(again)["set_id"], read_bytes(again)) == (named["set_id"], 0)


def test_source_inside_another_is_stored_once_and_beats_filters(bench: Bench) -> None:
    """Who names a directory outright wants it, whatever a filter says of those above it."""
    bench.write("out/deep/wanted/f", b"wanted")
    bench.write("out/deep/other", b"other")
    bench.write("out/beside", b"beside")
    bench.write("kept/f", b"kept")
    sources = [bytes(bench.source), bytes(bench.source / "out/deep/wanted"), bytes(bench.source / "kept/f")]
    filters = [FilterWord(kind="exclude", value=b"out"), FilterWord(kind="exclude", value=b"f")]
    for _ in range(2):
        assert counts(bench.back_up(sources=sources, filters=filters))["seen"] == 1 + 0
        restored = bench.restore()
        found = sorted(str(path.relative_to(restored)) for path in restored.rglob("*") if path.is_file())
        assert found == ["kept/f"]
    filters = filters[:1]
    for _ in range(2):
        assert counts(bench.back_up(sources=sources, filters=filters))["seen"] == 2
        restored = bench.restore()
        found = sorted(str(path.relative_to(restored)) for path in restored.rglob("*") if path.is_file())
        assert found == ["kept/f", "out/deep/wanted/f"]
    assert counts(bench.back_up(sources=sources))["seen"] == 4
    assert bench.differences() == []


def test_a_file_a_symlink_and_a_path_through_a_symlink(bench: Bench) -> None:
    """A link named by itself is stored as one, and said so; a link on the way is followed."""
    bench.write("real/f", b"data")
    (bench.source / "way").symlink_to("real")
    outcome = bench.back_up(sources=[bytes(bench.source / "way/f"), bytes(bench.source / "way")])
    assert run_of(outcome)["files"]["seen"] == 2
    assert any("is a symbolic link and is stored as one" in text for text in outcome.done.warnings)
    restored = bench.restore()
    assert (restored / "real/f").read_bytes() == b"data"
    assert os.readlink(restored / "way") == "real"


def test_missing_sources(bench: Bench) -> None:
    """Three disks, one of them not mounted: the others are stored, and the exit code says to look."""
    bench.write("f")
    missing = bench.above / "not there"
    document = bench.once(missing)
    assert (document["exit"], document["ok"]) == (3, False)
    (problem,) = document["result"]["runs"][0]["problems"]["first"]
    assert (problem["path"], problem["message"]) == (str(missing), "does not exist")
    assert bench.truth.differences(bench.source) == []
    none = bench.machine.json("once", missing, missing / "below", "--to", bench.above / "other")
    assert (none["exit"], none["error"]["code"]) == (10, "source.not_found")
    assert not (bench.above / "other").exists()


def test_filters_are_tried_in_the_order_of_the_command_line(bench: Bench) -> None:
    """The first that matches decides, over all three options; an excluded directory is not entered."""
    for name in ("keep.log", "drop.log", "cache/inside", "cache/keep.log", "d/x.tmp", "d/y.tmp", "d/z"):
        bench.write(name)
    rules = bench.above / "rules"
    rules.write_text("# from a file\n+ x.tmp\n- *.tmp\n")
    words = ["--include", "keep.log", "--exclude", "*.log", "--filter-file", str(rules), "--exclude", "cache"]
    (run,) = bench.once(*words)["result"]["runs"]
    restored = bench.restore()
    found = sorted(str(path.relative_to(restored)) for path in restored.rglob("*") if path.is_file())
    assert found == ["d/x.tmp", "d/z", "keep.log"]
    assert run["files"]["left_out"] == 3
    # The other way round the exclude comes first.
    bench.once("--exclude", "*.log", "--include", "keep.log")
    assert not (bench.restore() / "keep.log").exists()
    slip = bench.once("--exclude", bench.source / "keep.log", bench.source / "drop.log")
    assert (slip["exit"], slip["error"]["code"]) == (2, "usage.unquoted_pattern")


def test_dry_run_changes_nothing(bench: Bench) -> None:
    """Asking what would happen must not let it happen."""
    bench.write("f", b"1" * 1000)
    assert bench.machine.json("once", bench.source, "--to", bench.place, "--dry-run")["exit"] == 10
    assert not bench.place.exists()
    bench.back_up()
    bench.write("new", b"2" * 100)
    before = fingerprint(bench.place)
    bench.clock.ahead_seconds += 120
    outcome = bench.back_up(dry_run=True)
    assert outcome.result["dry_run"] is True
    assert (run_of(outcome)["snapshot"], read_bytes(outcome)) == (None, 100)
    assert counts(outcome) == {"seen": 2, "new": 1, "changed": 0, "same": 1, "gone": 0, "left_out": 0, **NO_MORE}
    assert fingerprint(bench.place) == before
    # Nor does it make the next run forget what the last one saw.
    assert read_bytes(bench.back_up()) == 100


@pytest.mark.root
@pytest.mark.needs("mount")
@pytest.mark.platform("linux")
def test_other_file_systems_and_pseudo_ones(bench: Bench) -> None:
    """A backup of / with --one-file-system holds no other disk, and never /proc."""
    bench.write("f", b"here")
    other, kernel = bench.source / "other", bench.source / "kernel"
    for point, kind in ((other, "tmpfs"), (kernel, "proc")):
        point.mkdir()
        subprocess.run(["mount", "-t", kind, kind, str(point)], check=True)
    try:
        (other / "inside").write_bytes(b"inside")
        outcome = bench.back_up()
        assert (outcome.done.exit_code, counts(outcome)["seen"], counts(outcome)["left_out"]) == (0, 2, 1)
        assert (bench.restore() / "other/inside").read_bytes() == b"inside"
        for _ in range(2):
            outcome = bench.back_up(one_file_system=True)
            assert (counts(outcome)["seen"], counts(outcome)["left_out"]) == (1, 2)
        restored = bench.restore()
        assert sorted(path.name for path in restored.iterdir()) == ["f", "other"]
        assert list((restored / "other").iterdir()) == []
        named = [bytes(bench.source), bytes(other)]
        assert counts(bench.back_up(one_file_system=True, sources=named))["seen"] == 2
    finally:
        for point in (other, kernel):
            subprocess.run(["umount", str(point)], check=True)


def test_sockets_fifos_and_devices_are_never_opened(bench: Bench) -> None:
    """Opening a FIFO hangs the backup for ever, opening a tape rewinds it."""
    fifo = bench.source / "fifo"
    os.mkfifo(fifo)
    # It waits for a reader, so it would be free as soon as somebody opens the FIFO, waiting or not.
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(fifo)!r}, 'wb')"])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bench.source / "s"))
        listener.listen()
        listener.setblocking(False)
        if os.geteuid() == 0 and sys.platform == "linux":
            os.mknod(bench.source / "tape", 0o20600, os.makedev(9, 0))
        outcome = bench.back_up()
        assert outcome.done.exit_code == 0, problems(outcome)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert writer.poll() is None
        fifo.open("rb").close()
        assert writer.wait(60) == 0
        bench.back_up()
        assert bench.differences() == []


def test_names_that_are_not_utf8_or_hold_a_newline(bench: Bench) -> None:
    """Such files come from old disks and from attackers; they are stored, and told so that JSON stays JSON."""
    names = [b"caf\xe9", b"two\nlines", b"\xff\xfe", b"\x1b[31m", b" "]
    for name in names:
        (bench.source / os.fsdecode(name)).write_bytes(name)
    bench.back_up()
    assert bench.differences() == []
    odd = bench.above / os.fsdecode(b"odd\xe9")
    document = bench.once(odd)
    (problem,) = document["result"]["runs"][0]["problems"]["first"]
    assert "path_b64" in problem
    assert "\\xe9" in problem["path"]


@pytest.mark.root
@pytest.mark.needs("mount")
@pytest.mark.platform("linux")
def test_times_that_no_entry_can_hold(bench: Bench) -> None:
    """A file of the year 11476, as broken clocks make them, is stored with the last time that can be, and said so."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(bench.source)], check=True)
    try:
        bench.write("fine")
        (bench.write("d/f").parent / "link").symlink_to("f")
        bench.write("large", b"x" * (9 << 20))
        for path in (bench.source / "d/f", bench.source / "d/link", bench.source / "large", bench.source / "d"):
            os.utime(path, ns=(0, 300_000_000_000 * 10**9), follow_symlinks=False)
        os.utime(bench.source / "fine", ns=(0, 2**64 - 1))
        outcome = bench.back_up()
        assert (outcome.done.exit_code, counts(outcome)["seen"]) == (3, 4)
        assert {problem["kind"] for problem in problems(outcome)} == {"metadata"}
        assert len(problems(outcome)) == 4
        restored = bench.restore()
        assert (restored / "d/f").read_bytes() == b"some bytes"
        assert compare_trees(bench.source, restored, but=frozenset({"st_mtime_ns"})) == []
    finally:
        subprocess.run(["umount", str(bench.source)], check=True)


def test_a_tree_deeper_than_any_path(bench: Bench) -> None:
    """300 directories of 100 characters: no path names the file at their end."""
    names = ["d" * 99 + str(number % 10) for number in range(300)]
    fd = os.open(bench.source, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    for name, size in (("small", 10), ("large", (8 << 20) + 1)):
        made = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=fd)
        os.write(made, b"x" * size)
        os.close(made)
    os.symlink("small", "link", dir_fd=fd)
    os.close(fd)
    for read in ((8 << 20) + 11, 0):
        outcome = bench.back_up()
        assert outcome.done.exit_code == 0, problems(outcome)
        assert read_bytes(outcome) == read
    assert bench.differences() == []
    for tree in (bench.source, bench.above / "restored1"):
        shutil.rmtree(tree)


def test_two_runs_of_one_set_at_once(bench: Bench) -> None:
    """Cron starts the next one before the last one is done: they must not both write the set."""
    bench.write("f")
    set_id = run_of(bench.back_up())["set_id"]
    words: list[str | Path] = ["once", bench.source, "--to", bench.place]
    lock = SetLock(str(bench.machine.home / "state/backupd"), set_id)
    lock.acquire(SystemClock())
    assert [bench.machine.bkctl(*words, "--if-running", way).returncode for way in ("fail", "skip")] == [11, 75]
    assert bench.machine.bkctl(*words, "--name", "another").returncode == 0
    command = [sys.executable, "-P", "-m", "bkctl", *map(str, words), "--if-running", "wait"]
    waiting = subprocess.Popen(command, env=bench.machine.environ, stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    lock.close()
    assert waiting.wait(60) == 0


def test_two_first_runs_at_once(bench: Bench) -> None:
    """Cron jobs meet an empty disk: they must not make two repositories, or one that nobody has the key to."""
    bench.machine.home.mkdir()
    started = []
    for number in range(3):
        path = bench.write(f"d{number}/f", b"%d" % number)
        command = [sys.executable, "-P", "-m", "bkctl", "once", str(path.parent), "--to", str(bench.place)]
        started.append(subprocess.Popen(command, env=bench.machine.environ, stdout=subprocess.DEVNULL))
    assert [one.wait(60) for one in started] == [0, 0, 0]
    assert len(list(bench.place.glob("r*"))) == 1
    assert len(list(bench.machine.keys.glob("*.key"))) == 1
    for number in range(3):
        assert (bench.restore(set_name=f"d{number}") / f"d{number}/f").read_bytes() == b"%d" % number


def test_worker_count_and_priority_are_the_users(bench: Bench) -> None:
    """--jobs 1 on a busy server is one process, and the result is the same."""
    for number in range(20):
        bench.write(f"f{number}", os.urandom(50_000))
    order = BackupOrder(place=str(bench.place), sources=[bytes(bench.source)], limits=Limits(jobs=1, polite=False))
    assert bench.machine.run(order).done.exit_code == 0
    assert bench.truth.differences(bench.source) == []
