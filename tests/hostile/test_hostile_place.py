"""A place whose keeper has no key and means harm: withholds, swaps, mixes repositories, answers without end (H2).

Whatever he does, no wrong byte is given back, nothing he did is told as good, and memory stays bounded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import BackupError
from backupd.model.orders import CheckOrder, Limits, Order, RestoreOrder, Selection, SnapshotListOrder
from tests.support.compare import compare_trees
from tests.support.machine import Machine

pytestmark = pytest.mark.usefixtures("quick_workers")

MIB = 1 << 20
_HUGE_BYTES = 64 << 30
_MOST_MORE_BYTES = 128 * MIB
"""One block of the greatest length there is, and what goes with it."""
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Of a process that is started by a large one the kernel tells at least the memory of that."""
_SMALL = Limits(jobs=1, polite=False)
_KINDS = ("blocks/*/*", "index/*", "snapshots/*/*", "keys/*", "keyring/*", "repository.json", "../once.json")
_READ_AT_ONCE = ("keyring/*", "repository.json", "../once.json")
"""Small texts that are read with one call, as a key slot is."""
_TOLD = {3, 10, 12, 15, 17, 18, 20, 21}
"""Exit codes that say that something is wrong, of whatever kind."""


@dataclass
class Harmed:
    """A machine, its source as it was at each of two snapshots, and the place that is in foreign hands."""

    above: Path
    machine: Machine
    place: Path

    @property
    def folder(self) -> Path:
        """The repository."""
        (found,) = self.place.glob("r*")
        return found

    def run(self, order: Order) -> tuple[int, list[str], dict[str, Any]]:
        """(exit code, warnings, result) of an order that is carried out here."""
        try:
            done = self.machine.run(order).done
        except BackupError as error:
            return error.exit_code, [], {"code": error.code}
        return done.exit_code, done.warnings, done.result

    def measure(self, *words: str | Path) -> tuple[int, int]:
        """(exit code, bytes of memory that the largest of its processes had) of a command."""
        command = [sys.executable, "-P", "-m", "bkctl", *map(str, words)]
        with (self.above / "said").open("w+b") as said:
            measured = [sys.executable, "-I", "-S", "-c", _MEASURED, "/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *command]
            done = subprocess.run(
                measured,
                stdout=said,
                stderr=subprocess.PIPE,
                env=self.machine.environ,
                cwd=self.machine.home,
                check=False,
            )
            said.seek(0)
            assert b"Traceback" not in said.read()
        return done.returncode, int(done.stderr) * 1024

    def newest(self, kind: str) -> Path:
        """The object of a kind that was written last."""
        return max(self.folder.glob(kind), key=lambda path: (path.stat().st_mtime_ns, path.name))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two repositories of one machine, each with two snapshots of a source of its own, under the same name."""
    above = tmp_path_factory.mktemp("before")
    machine = Machine(above / "home")
    for letter in "ab":
        source = above / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for run in range(2):
            for number in range(4):
                (source / f"file{number}").write_bytes(os.urandom(300_000) + letter.encode() + b"%d" % run)
            document = machine.json("once", source, "--to", above / letter, "--name", "docs")
            assert document["exit"] == 0, document
            shutil.copytree(source, above / f"source-{letter}{run}")
    return above


@pytest.fixture
def harmed(before: Path, tmp_path: Path) -> Harmed:
    """A copy to do harm to; the machine knows the place by another name, so its caches say nothing of it."""
    shutil.copytree(before / "a", tmp_path / "a", copy_function=shutil.copy2)
    shutil.copytree(before / "home" / "data", tmp_path / "home" / "data")
    return Harmed(tmp_path, Machine(tmp_path / "home"), tmp_path / "a")


def _restores_right_or_says_so(harmed: Harmed, before: Path) -> bool:
    """Whether all came back, which must be right then; else it must be told, and no file be wrong."""
    target = harmed.above / "out"
    order = RestoreOrder(
        place=str(harmed.place), selection=Selection(set_name="docs"), to=bytes(target), limits=_SMALL
    )
    code, _, result = harmed.run(order)
    assert code == 0 or code in _TOLD, result
    back = target / str(before / "source")[1:]
    if code == 0:
        assert any(compare_trees(before / f"source-a{run}", back) == [] for run in (0, 1))
    elif back.exists():
        for path in back.iterdir():
            one_of = [(before / f"source-a{run}" / path.name).read_bytes() for run in (0, 1)]
            assert path.stat().st_size == 0 or path.read_bytes() in one_of, path
    return code == 0


def _is_told(harmed: Harmed, is_whole: bool) -> bool:
    """Whether a check says so, at least as a warning where nothing is lost by it."""
    code, warnings, _ = harmed.run(CheckOrder(place=str(harmed.place), crc=True, limits=_SMALL))
    return code in _TOLD or (is_whole and bool(warnings))


@pytest.mark.parametrize("kind", _KINDS)
def test_an_object_of_another_repository(kind: str, harmed: Harmed, before: Path) -> None:
    """Else who keeps two backups of somebody can give back files of the one as files of the other."""
    stranger = Harmed(before, harmed.machine, before / "b").newest(kind)
    harmed.newest(kind).write_bytes(stranger.read_bytes())
    is_told = _is_told(harmed, _restores_right_or_says_so(harmed, before))
    # once.json only says which of several repositories is meant; there is one.
    assert is_told or kind == "../once.json"


def test_all_objects_of_another_repository_under_its_name(harmed: Harmed, before: Path) -> None:
    """The whole of another backup in place of the one that was asked for."""
    name = harmed.folder
    shutil.rmtree(name)
    (stranger,) = (before / "b").glob("r*")
    shutil.copytree(stranger, name)
    assert not _restores_right_or_says_so(harmed, before)
    assert not list((harmed.above / "out").rglob("file*"))


@pytest.mark.parametrize("kind", ["blocks/*/*", "index/*", "snapshots/*/*", "keyring/*", "keys/*"])
def test_an_object_of_the_same_repository_under_another_name(kind: str, harmed: Harmed, before: Path) -> None:
    """An older snapshot shown as the newest, a block in place of another."""
    objects = sorted(harmed.folder.glob(kind), key=lambda path: path.stat().st_mtime_ns)
    newest = objects[-1]
    if len(objects) > 1:
        newest.write_bytes(objects[0].read_bytes())
    else:
        newest.rename(newest.with_name(newest.name[:-4] + "0000"))
    assert _is_told(harmed, _restores_right_or_says_so(harmed, before))


@pytest.mark.parametrize("kind", ["blocks/*/*", "index/*", "keyring/*", "keys/*"])
def test_a_withheld_object(kind: str, harmed: Harmed, before: Path) -> None:
    """What is held back is told; what does not need it comes back."""
    harmed.newest(kind).unlink()
    assert _is_told(harmed, _restores_right_or_says_so(harmed, before))


def test_a_withheld_newest_snapshot(harmed: Harmed, before: Path) -> None:
    """An old state shown as the newest to who has seen a newer one: the alarm, and no deletion on its strength."""
    assert harmed.run(CheckOrder(place=str(harmed.place), limits=_SMALL))[0] == 0
    harmed.newest("snapshots/*/*").unlink()
    assert harmed.run(SnapshotListOrder(place=str(harmed.place)))[0] == 20


def _restore(harmed: Harmed) -> tuple[str | Path, ...]:
    return ("restore", "docs", "--from", harmed.place, "--to", harmed.above / f"out{os.urandom(3).hex()}")


@pytest.fixture(scope="module")
def usual(before: Path) -> int:
    """Bytes of memory that a restore needs while nobody does harm."""
    life = Harmed(before, Machine(before / "home"), before / "a")
    code, used = life.measure(*_restore(life))
    assert code == 0
    return used


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.nightly] * (kind in _READ_AT_ONCE)) for kind in _KINDS]
)
def test_an_object_without_end(kind: str, harmed: Harmed, usual: int) -> None:
    """Else one answer of 64 GiB takes all memory of every machine that looks at the place."""
    os.truncate(harmed.newest(kind), _HUGE_BYTES)
    for words in (_restore(harmed), ("check", "--from", harmed.place)):
        code, used = harmed.measure(*words)
        assert code == 0 or code in _TOLD, code
        assert used < usual + _MOST_MORE_BYTES, f"{words[0]}: {used // MIB} MiB, usually {usual // MIB}"


@pytest.mark.parametrize(
    "folder",
    [
        "sessions/" + "5" * 32,
        "gc",
        "index",
        pytest.param("snapshots/" + "b" + "5" * 32, marks=pytest.mark.nightly),
        pytest.param("damage", marks=pytest.mark.nightly),
    ],
)
def test_five_thousand_strange_names(folder: str, harmed: Harmed, before: Path, usual: int) -> None:
    """Whoever may write there can make names; they must neither be believed nor take the memory."""
    (harmed.folder / folder).mkdir(parents=True, exist_ok=True)
    for number in range(5_000):
        os.symlink("x", harmed.folder / folder / f"{number:064x}")
    code, used = harmed.measure(*_restore(harmed))
    assert code == 0 or code in _TOLD, code
    assert used < usual + _MOST_MORE_BYTES, f"{used // MIB} MiB, usually {usual // MIB}"
    assert (harmed.above / "said").stat().st_size < MIB
    assert _restores_right_or_says_so(harmed, before) or folder in ("gc", "index", "damage")
