"""Files come back from blocks and the key alone, however the rest of the repository was lost (FEATURES 8.5)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backupd.errors import KeyMissingError, SnapshotNotFoundError, UsageError, WrongKeyError
from backupd.model import events
from backupd.model.orders import DecryptOrder, Unlock
from backupd.seal.slot import new_secret, secret_to_text
from tests.support import damaging
from tests.support.machine import Machine
from tests.support.rich_repository import RichRepository
from tests.support.small_repository import Node, directory


@pytest.fixture
def rich(tmp_path: Path) -> RichRepository:
    return RichRepository(tmp_path)


def _decrypt(rich: RichRepository, blocks: Path, *paths: bytes, unlock: Unlock | None = None) -> events.Done:
    order = DecryptOrder(
        place=str(blocks), unlock=unlock or rich.unlock, paths=list(paths), to=os.fsencode(rich.above / "out")
    )
    return Machine(rich.above / "home").run(order).done


def _given_back(rich: RichRepository, below: str = "") -> dict[bytes, bytes]:
    top = rich.above / "out" / below
    return {b"/" + os.fsencode(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def _newest(rich: RichRepository) -> dict[bytes, bytes]:
    return list(rich.files.values())[-1]


@pytest.mark.parametrize("name", ["place", "repository", "blocks", "renamed", "flat"])
def test_all_forms_of_a_rescued_directory(rich: RichRepository, name: str) -> None:
    """Who rescued data off a broken disk has it somewhere, not where it was."""
    for folder in ("index", "sessions", "gc", "notes", "damage"):
        shutil.rmtree(rich.folder / folder)
    before = sorted(rich.place.rglob("*"))
    renamed = rich.above / "rescued"
    if name in ("renamed", "flat"):
        shutil.copytree(rich.folder, renamed)
        for twin in ("repository.json", "repository.json.2"):
            (renamed / twin).unlink()
    if name == "flat":
        for path in (renamed / "blocks").iterdir():
            path.rename(renamed / path.name)
        (renamed / "blocks").rmdir()
    where = {"place": rich.place, "repository": rich.folder, "blocks": rich.folder / "blocks"}.get(name, renamed)
    done = _decrypt(rich, where)
    assert done.exit_code == 0, done
    assert _given_back(rich) == _newest(rich)
    assert sorted(rich.place.rglob("*")) == before, "nothing is written among what was rescued"
    assert not list((rich.above / "home/cache").rglob("decrypt-*"))


def test_one_file_alone(rich: RichRepository) -> None:
    assert _decrypt(rich, rich.folder, b"/home/note").exit_code == 0
    assert _given_back(rich) == {b"/home/note": b"n"}


def test_a_damaged_block_costs_its_files_alone(rich: RichRepository) -> None:
    damaging.zero(0.5, 0.6)(rich.one_of("data block"))
    done = _decrypt(rich, rich.folder / "blocks")
    assert done.exit_code == 20
    given = _given_back(rich)
    assert given.items() <= _newest(rich).items()
    assert b"/home/note" in given
    assert len(given) < len(_newest(rich))


def test_several_sets_lie_apart(rich: RichRepository) -> None:
    """Two sets may hold the same paths; neither must overwrite the other."""
    rich.small.add(directory(home=directory(note=Node(b"other"))), set_name="photos", day=1)
    done = _decrypt(rich, rich.folder)
    assert done.exit_code == 0
    assert _given_back(rich, "documents") == _newest(rich)
    assert _given_back(rich, "photos") == {b"/home/note": b"other"}
    assert done.result["files"]["restored"] == 4


def test_what_is_missing_is_said(rich: RichRepository) -> None:
    with pytest.raises(WrongKeyError):
        _decrypt(rich, rich.folder, unlock=Unlock(secret=secret_to_text(new_secret()).encode()))
    shutil.rmtree(rich.folder / "snapshots")
    with pytest.raises(SnapshotNotFoundError, match="no snapshot says"):
        _decrypt(rich, rich.folder)
    shutil.rmtree(rich.folder / "keyring")
    with pytest.raises(KeyMissingError, match="has no keyring/"):
        _decrypt(rich, rich.folder)


def test_not_among_the_blocks(rich: RichRepository) -> None:
    order = DecryptOrder(place=str(rich.folder), unlock=rich.unlock, to=os.fsencode(rich.folder / "out"))
    with pytest.raises(UsageError, match="among the blocks"):
        Machine(rich.above / "home").run(order)


def test_on_the_command_line(rich: RichRepository, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_bytes((rich.unlock.secret or b"") + b"\n")
    words = ("decrypt", rich.folder / "blocks", "--to", tmp_path / "out", "--password-file", key)
    done = Machine(tmp_path / "rescuer").json(*words)
    assert (done["exit"], done["error"]) == (0, None)
    assert _given_back(rich) == _newest(rich)
