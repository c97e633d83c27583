"""The golden repository of format 1: what this version can't read, its users' backups made in 2026 can't be either."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.golden.make_golden import MANY, SOURCE, describe
from tests.support.machine import Machine

GOLDEN = Path(__file__).parent / "format-1"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())["snapshots"]
BY_NOTE = {snapshot["note"]: name for name, snapshot in EXPECTED.items()}
IS_ROOT = os.geteuid() == 0
OWN = ("uid", "gid")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that a defect can't damage the golden one."""
    copy = tmp_path_factory.mktemp("golden") / "place"
    shutil.copytree(GOLDEN / "place", copy)
    return copy


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("home"))


def restored(machine: Machine, place: Path, note: str, secret: str, out: Path) -> list[dict[str, Any]]:
    """What a snapshot's source looks like when it is back."""
    words: list[str | Path] = ["--from", place, "--password-file", GOLDEN / secret, "--as-of", BY_NOTE[note]]
    done = machine.bkctl("restore", *words, "--to", out, "--owner", "number" if IS_ROOT else "me")
    assert done.returncode in ((0,) if IS_ROOT else (0, 3)), done.stderr.decode()
    root = out / str(SOURCE).lstrip("/")
    return describe(root if note in ("first", "second", "third") else root / "scopes")


def comparable(entry: dict[str, Any], at: Path) -> dict[str, Any]:
    """What must be equal for this user on this file system."""
    left_out = set() if IS_ROOT else set(OWN)
    if not IS_ROOT and entry["mode"] & (stat.S_ISUID | stat.S_ISGID):
        left_out.add("mode")
    if not _keeps_attributes(at):
        left_out.add("xattrs")
    return {name: value for name, value in entry.items() if name not in left_out}


def _keeps_attributes(directory: Path) -> bool:
    try:
        os.setxattr(directory, "user.probe", b"1")
        os.removexattr(directory, "user.probe")
    except OSError:
        return False
    return True


@pytest.mark.parametrize("note", sorted(BY_NOTE))
def test_every_snapshot_comes_back_byte_for_byte(machine: Machine, place: Path, note: str, tmp_path: Path) -> None:
    found = {entry["path"]: entry for entry in restored(machine, place, note, "repository.key", tmp_path / "out")}
    wanted = {entry["path"]: entry for entry in EXPECTED[BY_NOTE[note]]["entries"]}
    unreadable = [path for path, entry in wanted.items() if not IS_ROOT and entry["kind"] == "character_device"]
    assert set(wanted) - set(unreadable) == set(found)
    for path, entry in found.items():
        assert comparable(entry, tmp_path) == comparable(wanted[path], tmp_path)
    if note in ("first", "second", "third"):
        many = sorted(os.listdir(tmp_path / "out" / str(SOURCE).lstrip("/") / "many"))
        assert many == [f"{number:04}" for number in range(MANY)]


def test_a_password_opens_it_too(machine: Machine, place: Path, tmp_path: Path) -> None:
    found = restored(machine, place, "off", "password.txt", tmp_path / "out")
    assert [entry["sha256"] for entry in found] == [
        entry["sha256"] for entry in EXPECTED[BY_NOTE["off"]]["entries"]
    ]


def test_a_key_from_before_the_rotation_reads_what_was_written_before(
    machine: Machine, place: Path, tmp_path: Path
) -> None:
    assert restored(machine, place, "second", "old.key", tmp_path / "out")
    words: list[str | Path] = ["--from", place, "--password-file", GOLDEN / "old.key"]
    listed = machine.json("snapshot", "list", *words)["result"]["snapshots"]
    assert {one["id"] for one in listed} == {BY_NOTE["first"], BY_NOTE["second"]}


def test_every_stored_byte_passes_its_check(machine: Machine, place: Path) -> None:
    done = machine.bkctl("check", "--crc", "--from", place, "--password-file", GOLDEN / "repository.key")
    assert done.returncode == 0, done.stderr.decode()


def test_files_stream_out_as_they_were(machine: Machine, place: Path) -> None:
    wanted = {entry["path"]: entry for entry in EXPECTED[BY_NOTE["second"]]["entries"]}
    words: list[str | Path] = ["--from", place, "--password-file", GOLDEN / "repository.key"]
    words += ["--as-of", BY_NOTE["second"]]
    for name in ("many chunks", "sparse/many holes", "sparse/all hole"):
        done = machine.bkctl("snapshot", "cat", SOURCE / name, *words)
        assert done.returncode == 0, done.stderr.decode()
        assert hashlib.sha256(done.stdout).hexdigest() == wanted[name]["sha256"]
