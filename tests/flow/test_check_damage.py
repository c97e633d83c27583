"""Each kind of object, each kind of damage: check finds it, names the files hit, and nothing wrong is given back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import damaging
from tests.support.rich_repository import Checked, RichRepository

SEALED = ("index", "snapshot", "session", "candidates", "deleted", "drop", "damage", "notes")
BLOCKS = ("data block", "tree block")
FOUND = (12, 18, 20)
"""A damaged key slot is a key that opens nothing; a version byte that was turned over is a newer version."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RichRepository:
    """Made once, copied for each case."""
    return RichRepository(tmp_path_factory.mktemp("rich"))


@pytest.fixture
def rich(original: RichRepository, tmp_path: Path) -> RichRepository:
    """A copy to be damaged."""
    copy = RichRepository.__new__(RichRepository)
    copy.__dict__.update(original.__dict__)
    shutil.copytree(original.place, tmp_path / "place")
    copy.above, copy.place = tmp_path, tmp_path / "place"
    copy.folder = copy.place / original.folder.name
    copy.open_again()
    return copy


def _hits(outcome: Checked) -> set[str]:
    return {hit["path"] for hit in outcome.result["files_hit"]}


def _expect(rich: RichRepository, outcome: Checked) -> None:
    """Files told as hit are those that can't be had, and no file has other bytes than were stored."""
    read = rich.read_all()
    for (snapshot, path), data in read.items():
        assert data is None or data == rich.files[snapshot][path]
    lost = {(snapshot.hex(), path) for (snapshot, path), data in read.items() if data is None}
    told = {(hit["snapshot"][1:], hit["path"].encode()) for hit in outcome.result["files_hit"]}
    unread = {problem["object"][-32:] for problem in outcome.result["problems"] if "snapshots/" in problem["object"]}
    for one in lost:
        assert one[0] in unread or any(_is_below(one, hit) for hit in told), f"{one} is lost, and check does not say so"
    for hit in told:
        assert any(_is_below(one, hit) for one in lost), f"{hit} is told as lost and can be had"


def _is_below(one: tuple[str, bytes], hit: tuple[str, bytes]) -> bool:
    return one[0] == hit[0] and (one[1] + b"/").startswith(hit[1].rstrip(b"/") + b"/")


def test_a_sound_repository_has_no_problems(rich: RichRepository) -> None:
    for crc in (False, True):
        outcome = rich.check(crc=crc)
        assert outcome.exit_code == 0, outcome.result
        assert outcome.result["problems"] == []
        assert (outcome.result["snapshots"], outcome.result["blocks"]) == (2, 4)
    assert outcome.result["bytes_read"] >= sum(path.stat().st_size for path in rich.objects("blocks"))


@pytest.mark.parametrize("kind", SEALED)
@pytest.mark.parametrize("damage", damaging.DAMAGES.values(), ids=damaging.DAMAGES)
def test_a_damaged_sealed_object_is_found_by_the_plain_check(
    rich: RichRepository, kind: str, damage: Callable[[Path], None]
) -> None:
    victim = rich.one_of(kind)
    damage(victim)
    outcome = rich.check()
    assert outcome.exit_code in (18, 20), outcome
    assert any(victim.name in problem["object"] for problem in outcome.result["problems"])
    if kind in ("index", "snapshot"):
        _expect(rich, outcome)
    else:
        assert outcome.result["files_hit"] == []


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("damage", damaging.DAMAGES.values(), ids=damaging.DAMAGES)
def test_a_damaged_block_is_found_by_reading_every_byte(
    rich: RichRepository, kind: str, damage: Callable[[Path], None]
) -> None:
    victim = rich.one_of(kind)
    damage(victim)
    outcome = rich.check(crc=True)
    assert outcome.exit_code == 20, outcome
    assert any(victim.name in problem["object"] for problem in outcome.result["problems"])
    _expect(rich, outcome)
    again = rich.check()
    assert _hits(again) == _hits(outcome), "what was recorded is known to the plain check, too"


@pytest.mark.parametrize("kind", ["text", "twin", "once", "key slot", "keyring"])
@pytest.mark.parametrize("damage", ["cut in half", "empty", "zeros all over", "a bit at the beginning"])
def test_a_damaged_text_or_key_is_found(rich: RichRepository, kind: str, damage: str) -> None:
    (rich.place / "once.json").write_text(
        json.dumps({"magic": "backupd once", "version": 1, "repository": rich.folder.name})
    )
    damaging.DAMAGES[damage](rich.one_of(kind))
    outcome = rich.check()
    assert outcome.exit_code in FOUND
    if kind in ("text", "twin", "once"):
        assert outcome.exit_code == 20
        assert outcome.result["files_hit"] == []
        assert any(rich.one_of(kind).name in problem["object"] for problem in outcome.result["problems"])


@pytest.mark.parametrize("kind", ["text", "twin", "key slot", "keyring", "data block", "tree block", "index"])
def test_a_missing_object_is_found_by_the_plain_check(rich: RichRepository, kind: str) -> None:
    rich.one_of(kind).unlink()
    outcome = rich.check()
    assert outcome.exit_code in FOUND
    if kind in ("data block", "tree block", "index"):
        assert outcome.exit_code == 20
        assert outcome.result["files_hit_count"] > 0
        _expect(rich, outcome)


@pytest.mark.parametrize("kind", ["keys", "blocks", "index", "snapshots"])
def test_two_objects_that_changed_places_are_found(rich: RichRepository, kind: str) -> None:
    """A store that shows one object under another's name must not pass."""
    objects = rich.objects(kind)
    damaging.swap(objects[0], objects[-1])
    outcome = rich.check(crc=True)
    assert outcome.exit_code in FOUND
    if kind != "keys":
        assert outcome.exit_code == 20
        _expect(rich, outcome)


def test_a_snapshot_taken_away_is_an_alarm_until_it_is_accepted(rich: RichRepository) -> None:
    """Who rolls the store back to an older state must not do so unseen."""
    assert rich.check().exit_code == 0
    rich.one_of("snapshot").unlink()
    outcome = rich.check()
    assert outcome.exit_code == 20
    assert outcome.code == "damage.rollback"
    assert rich.check().exit_code == 20
    assert rich.check(accept_rollback=True).exit_code == 0
    assert rich.check().exit_code == 0
