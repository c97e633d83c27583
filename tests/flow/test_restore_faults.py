"""Damage, a full disk, dying processes: all that can be had comes back, nothing wrong is given back as good."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import TargetFullError
from backupd.seal.slot import secret_to_text
from tests.support.compare import compare_trees
from tests.support.damaging import flip
from tests.support.machine import Machine
from tests.support.restoring import Kept, files
from tests.support.small_repository import CHUNK_BYTES, Node, SmallRepository, directory

MEBIBYTE = 1 << 20


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def _largest_block(place: Path) -> Path:
    return max(place.glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)


def test_damaged_segment_costs_only_its_files_and_they_are_named(kept: Kept) -> None:
    noise = random.Random(1)
    names = [f"d/{number:03}" for number in range(80)]
    for name in names:
        kept.write(name, noise.randbytes(100_000))
    kept.write("large", noise.randbytes(20 * MEBIBYTE))
    kept.back_up()
    flip(0.1)(_largest_block(kept.place))
    outcome = kept.restore()
    assert outcome.done.exit_code == 20
    assert outcome.done.error is not None
    damaged = {Path(path) for path in outcome.done.error["context"]["damaged"]}
    assert damaged
    assert files(outcome) == {"restored": 81 - len(damaged), "failed": len(damaged)}
    lines = compare_trees(kept.source, kept.restored)
    assert sorted(lines) == sorted(f"{path.relative_to(kept.restored)}: only in the first" for path in damaged)


def test_chunk_that_lies_twice_is_taken_from_its_other_place(tmp_path: Path) -> None:
    """A file is lost only when no place gives its bytes."""
    small = SmallRepository(tmp_path / "place")
    data = os.urandom(5 * CHUNK_BYTES)
    tree = directory(home=directory(file=Node(data=data), other=Node(data=b"other")))
    for day in (0, 1):
        small.add(tree, sources=(b"/home",), day=day)
    blocks = sorted((tmp_path / "place").glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)[-2:]
    machine = Machine(tmp_path / "machine")
    secret = tmp_path / "secret"
    secret.write_text(secret_to_text(small.secret))

    def restore(target: str) -> dict[str, object]:
        return machine.json(
            "restore", "--from", tmp_path / "place", "--to", tmp_path / target, "--password-file", secret,
            "--owner", "me", "--as-of", "latest",
        )  # fmt: skip

    for block in blocks:
        flip(0.3)(block)
        whole = block.read_bytes()
        document = restore(block.name)
        assert document["exit"] == 0, document
        assert (tmp_path / block.name / "home" / "file").read_bytes() == data
        flip(0.3)(block)
        assert block.read_bytes() != whole
    for block in blocks:
        block.unlink()
    document = restore("none")
    assert document["exit"] == 20
    assert sorted(os.listdir(tmp_path / "none" / "home")) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Generator[Path, None, None]:
    """A file system of 8 MiB."""
    path = tmp_path / "tiny"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.parametrize("size", [100_000, 12 * MEBIBYTE])
def test_full_target_ends_with_16_and_leaves_no_half_file(kept: Kept, tiny: Path, size: int) -> None:
    noise = random.Random(1)
    for number in range(24 * MEBIBYTE // size):
        kept.write(f"f{number}", noise.randbytes(size))
    kept.back_up()
    with pytest.raises(TargetFullError) as caught:
        kept.restore(to=os.fsencode(tiny))
    assert caught.value.exit_code == 16
    for path in (tiny / str(kept.source)[1:]).rglob("*"):
        assert path.read_bytes() == (kept.source / path.name).read_bytes()


def _start(kept: Kept) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bkctl", "restore", "--from", str(kept.place), "--to", str(kept.target), "--json"]
    return subprocess.Popen(
        command, env=kept.machine.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _descendants(pid: int, module: str = "") -> list[int]:
    """Processes below one, the nearest first; only those that run a module, if one is named."""
    told = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, check=True).stdout.decode()
    rows = [line.split(maxsplit=2) for line in told.splitlines()[1:]]
    found = [pid]
    for above in found:
        found += [int(child) for child, parent, _ in rows if int(parent) == above]
    return [int(one) for one, _, words in rows if int(one) in found[1:] and module in words]


def _wait_for_files(kept: Kept, count: int) -> None:
    for _ in range(2000):
        if kept.restored.exists() and sum(len(names) for _, _, names in os.walk(kept.restored)) >= count:
            return
        time.sleep(0.005)
    raise AssertionError("the restore wrote nothing in 10 s")


def _many(kept: Kept) -> None:
    noise = random.Random(5)
    for number in range(4000):
        kept.write(f"{number % 40}/{number}", noise.randbytes(12_000))
    kept.write("large", noise.randbytes(30 * MEBIBYTE))
    kept.back_up()


def test_killed_restore_goes_on_without_a_question(kept: Kept) -> None:
    """What it left half written looks newer than the snapshot, and is known all the same."""
    _many(kept)
    for count in (50, 1500):
        job = _start(kept)
        _wait_for_files(kept, count)
        for pid in _descendants(job.pid):
            os.kill(pid, signal.SIGKILL)
        job.wait()
        assert job.stdout is not None
        job.stdout.close()
    (kept.restored / "0" / "half").write_bytes(b"the user's own")
    outcome = kept.restore()
    assert outcome.done.exit_code == 0, outcome.result
    (kept.restored / "0" / "half").unlink()
    os.utime(kept.restored / "0", ns=((kept.source / "0").stat().st_mtime_ns,) * 2)
    assert compare_trees(kept.source, kept.restored) == []
    assert files(outcome)["same"] > 500


def test_worker_that_dies_costs_nothing(kept: Kept) -> None:
    _many(kept)
    job = _start(kept)
    _wait_for_files(kept, 100)
    os.kill(_descendants(job.pid, "backupd.worker")[0], signal.SIGKILL)
    out, _ = job.communicate(timeout=60)
    document = json.loads(out)
    assert document["exit"] == 0, document
    assert compare_trees(kept.source, kept.restored) == []


def test_cancelled_restore_leaves_no_half_file(kept: Kept) -> None:
    _many(kept)
    job = _start(kept)
    _wait_for_files(kept, 300)
    os.kill(job.pid, signal.SIGTERM)
    out, _ = job.communicate(timeout=60)
    assert json.loads(out)["exit"] == 143
    for path in kept.restored.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (kept.source / path.relative_to(kept.restored)).read_bytes()
    assert kept.restore().done.exit_code == 0
    assert compare_trees(kept.source, kept.restored) == []


def test_vanished_place_is_no_damage(kept: Kept) -> None:
    """A disk that was pulled out is told as such, not as a thousand lost files."""
    _many(kept)
    job = _start(kept)
    _wait_for_files(kept, 100)
    kept.place.rename(kept.above / "elsewhere")
    out, _ = job.communicate(timeout=60)
    assert json.loads(out)["exit"] == 15
    (kept.above / "elsewhere").rename(kept.place)
    assert kept.restore().done.exit_code == 0
    assert compare_trees(kept.source, kept.restored) == []


@pytest.mark.parametrize("name", [b"..", b".", b"../../escaped", b"/escaped", b"a/b"], ids=repr)
def test_hostile_names_in_a_snapshot_write_nothing_outside(tmp_path: Path, name: bytes) -> None:
    """Whoever has the key may write what he likes into a snapshot."""
    small = SmallRepository(tmp_path / "place")
    evil = Node(below={b"!first": Node(data=b"good"), name: Node(data=b"evil")})
    evil_directory = Node(below={name: Node(below={b"escaped": Node(data=b"evil")})})
    small.add(directory(good=Node(data=b"good"), one=evil, two=evil_directory), sources=(b"/",))
    secret = tmp_path / "secret"
    secret.write_text(secret_to_text(small.secret))
    machine = Machine(tmp_path / "machine")
    document = machine.json(
        "restore", "--from", tmp_path / "place", "--to", tmp_path / "in" / "target", "--password-file", secret
    )
    assert document["exit"] == 20, document
    assert os.listdir(tmp_path / "in") == ["target"]
    found = sorted(str(path.relative_to(tmp_path / "in")) for path in (tmp_path / "in").rglob("*") if path.is_file())
    assert set(found) <= {"target/good", "target/one/!first"}
    assert not list(tmp_path.rglob("escaped"))
