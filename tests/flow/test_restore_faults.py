"""Damage, a full disk, dying processes: all that can be had comes back, nothing wrong is given back as good."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backupd.errors import TargetFullError
from backupd.seal.slot import secret_to_text
from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.damaging import flip
from tests.support.machine import Machine
from tests.support.restoring import Kept, files
from tests.support.running import Run, kill
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
    told = [line for line in outcome.log if line.path is not None]
    assert {Path(os.fsdecode(line.path or b"")) for line in told} == damaged
    assert not [line for line in told if str(kept.restored) in line.message], "who shows the log names the path"


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


@contextmanager
def _standing_after(kept: Kept, count: int) -> Generator[Run, None, None]:
    """A restore whose workers stand still once there are so many files, until the block ends."""

    def has_come_so_far() -> bool:
        return sum(len(names) for _, _, names in os.walk(kept.restored)) >= count

    with slow_set.standing_alone(kept.machine, "restore", "--from", kept.place, "--to", kept.target) as run:
        slow_set.go_on_until(run, has_come_so_far)
        yield run


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
        with _standing_after(kept, count) as run:
            run.kill()
        run.process.communicate()
    (kept.restored / "0" / "half").write_bytes(b"the user's own")
    outcome = kept.restore()
    assert outcome.done.exit_code == 0, outcome.result
    (kept.restored / "0" / "half").unlink()
    os.utime(kept.restored / "0", ns=((kept.source / "0").stat().st_mtime_ns,) * 2)
    assert compare_trees(kept.source, kept.restored) == []
    assert files(outcome)["same"] > 500


def test_worker_that_dies_costs_nothing(kept: Kept) -> None:
    _many(kept)
    with _standing_after(kept, 100) as run:
        kill(run.workers[0])
    document = run.end()
    assert document["exit"] == 0, document
    assert compare_trees(kept.source, kept.restored) == []


def test_cancelled_restore_leaves_no_half_file(kept: Kept) -> None:
    _many(kept)
    with _standing_after(kept, 300) as run:
        run.process.send_signal(signal.SIGTERM)
    assert run.end()["exit"] == 143
    for path in kept.restored.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (kept.source / path.relative_to(kept.restored)).read_bytes()
    assert kept.restore().done.exit_code == 0
    assert compare_trees(kept.source, kept.restored) == []


def test_vanished_place_is_no_damage(kept: Kept) -> None:
    """A disk that was pulled out is told as such, not as a thousand lost files."""
    _many(kept)
    with _standing_after(kept, 100) as run:
        kept.place.rename(kept.above / "elsewhere")
    assert run.end()["exit"] == 15
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
