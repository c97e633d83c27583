"""Bad input of `once`: a clear error with its code, nothing lost, nothing half made (CLI.md, Exit codes)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import BackupError
from tests.support.backing_up import Bench, counts, fingerprint
from tests.support.machine import Machine
from tests.support.ordinary_user import run_without_override


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With one file to store."""
    found = Bench(tmp_path)
    found.write("f", b"data")
    return found


def refusal(document: dict[str, Any]) -> tuple[int, str]:
    """Exit code and error code; there always is a hint."""
    assert document["error"]["hint"], document["error"]
    return document["exit"], document["error"]["code"]


def test_place_that_is_a_file(bench: Bench) -> None:
    """A typing slip must not cost the file."""
    bench.place.write_bytes(b"precious")
    assert refusal(bench.once()) == (17, "place.occupied")
    assert bench.place.read_bytes() == b"precious"


def test_place_whose_parent_is_missing(bench: Bench) -> None:
    """The disk is not mounted: nothing is made on the disk below the mount point."""
    place = bench.above / "disk/backups/mine"
    document = bench.machine.json("once", bench.source, "--to", place)
    assert refusal(document) == (15, "destination.unreachable")
    assert not (bench.above / "disk").exists()


@pytest.mark.root
@pytest.mark.platform("linux")
def test_place_that_cannot_be_written(bench: Bench) -> None:
    """A new place and one that was written before, on a disk that is read-only by now."""

    def back_up() -> list[Any]:
        try:
            bench.back_up()
        except BackupError as error:
            return [error.exit_code, error.code, bool(error.hint)]
        return []

    bench.place.mkdir(mode=0o555)
    assert run_without_override(back_up) == [15, "destination.refused", True]
    assert list(bench.place.iterdir()) == []
    bench.place.chmod(0o755)
    bench.back_up()
    before = fingerprint(bench.place)
    for folder in [bench.place, *bench.place.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o555)
    assert run_without_override(back_up) == [15, "destination.refused", True]
    for folder in [bench.place, *bench.place.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o700)
    assert fingerprint(bench.place) == before
    bench.write("new", b"new")
    bench.back_up()
    assert bench.truth.differences(bench.source) == []


def test_place_with_something_else_in_it(bench: Bench) -> None:
    """A directory of photos is no place for a repository, and is left alone."""
    bench.place.mkdir()
    (bench.place / "holiday.jpg").write_bytes(b"jpeg")
    before = fingerprint(bench.place)
    assert refusal(bench.once()) == (17, "place.occupied")
    assert fingerprint(bench.place) == before


def test_place_inside_the_source(bench: Bench) -> None:
    """It would back itself up, each run larger: it is left out, and said so. The place itself is no source either."""
    bench.place = bench.source / "backups"
    told = bench.machine.bkctl("once", bench.source, "--to", bench.place)
    assert told.returncode == 0
    assert f"{bench.place} is never backed up" in told.stderr.decode()
    outcome = bench.back_up()
    assert (outcome.done.exit_code, counts(outcome)["seen"], counts(outcome)["left_out"]) == (0, 1, 1)
    assert not (bench.restore() / "backups").exists()
    for path in (bench.place, next(bench.place.glob("r*/blocks"))):
        assert refusal(bench.machine.json("once", path, "--to", bench.place)) == (2, "usage.invalid")


def test_existing_makes_no_repository(bench: Bench) -> None:
    """The stick is not in: the mount point must not fill up instead."""
    assert refusal(bench.once("--existing")) == (10, "repository.not_found")
    bench.place.mkdir()
    assert refusal(bench.once("--existing")) == (10, "repository.not_found")
    assert list(bench.place.iterdir()) == []
    bench.once()
    assert bench.once("--existing")["exit"] == 0


def test_repository_of_a_newer_format(bench: Bench) -> None:
    """An old program must not write into what it does not understand."""
    bench.once()
    for path in bench.place.glob("r*/repository.json*"):
        text = json.loads(path.read_text())
        path.write_text(json.dumps(text | {"version": 99}))
    before = fingerprint(bench.place)
    for words in (("once", bench.source, "--to", bench.place), ("check", "--from", bench.place)):
        assert refusal(bench.machine.json(*words)) == (18, "version.newer")
    assert fingerprint(bench.place) == before
    for path in bench.place.glob("r*/repository.json*"):
        text = json.loads(path.read_text())
        path.write_text(json.dumps(text | {"version": 1, "required": ["holograms"]}))
    assert refusal(bench.once()) == (18, "version.newer")


def test_truncated_repository_json(bench: Bench) -> None:
    """Its twin is used and that is said; without either, what is stored is left alone."""
    bench.once()
    (folder,) = bench.place.glob("r*")
    whole = (folder / "repository.json").read_bytes()
    (folder / "repository.json").write_bytes(whole[:30])
    document = bench.once()
    assert document["exit"] == 0
    assert any("its twin is used" in text for text in document["warnings"])
    assert bench.truth.differences(bench.source) == []
    (folder / "repository.json.2").write_bytes(b"")
    before = fingerprint(bench.place)
    assert refusal(bench.once())[0] == 20
    assert fingerprint(bench.place) == before


def test_no_key_at_hand(bench: Bench) -> None:
    """Never a second repository beside the one whose key is lost, and nothing of it is written."""
    bench.once()
    before = fingerprint(bench.place)
    bench.machine = Machine(bench.above / "another")
    assert refusal(bench.once()) == (12, "key.missing")
    wrong = bench.above / "key"
    wrong.write_text("ABCD-" * 8 + "ABCD\n")
    assert refusal(bench.once("--password-file", wrong)) == (12, "key.wrong")
    assert fingerprint(bench.place) == before


def test_names_that_can_be_none(bench: Bench) -> None:
    """A set's name ends in restore commands."""
    for name in ("-x", "a/b", "", "latest", "x" * 65):
        assert refusal(bench.once(f"--name={name}")) == (2, "usage.invalid")
    assert not bench.place.exists() or not list(bench.place.rglob("snapshots/*"))
