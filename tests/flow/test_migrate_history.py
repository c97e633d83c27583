"""Migration of older snapshots: cut and named as the set wants it now, from what is stored; nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import SnapshotNotFoundError, StoppedError
from backupd.model.orders import RestoreOrder, RetentionOrder, Selection, SnapshotShowOrder
from backupd.model.retention import RetentionText
from backupd.repository.notes import write_note
from backupd.sizes import KIB, MIB
from backupd.snapshot.notes import PIN
from backupd.snapshot.records import Drop, Note
from tests.support.backing_up import read_bytes, run_of
from tests.support.compare import compare_trees
from tests.support.damaging import flip
from tests.support.histories import History
from tests.support.migrating import (
    COARSE,
    FINE,
    Killed,
    StopsAt,
    back_up,
    listed,
    migrate,
    migrate_as_told,
    migrate_here,
    rename,
)


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 41)


def _migrate(history: History, **options: Any) -> dict[str, Any]:
    """What it says of the history."""
    found: dict[str, Any] = migrate(history, **options)["history"]
    return found


def _live_through(history: History, count: int = 5, **options: Any) -> list[str]:
    """Snapshots, the oldest first: a large file changes in a few places, another one goes, a third one stays."""
    large = bytearray(history.random.randbytes(6 * MIB))
    history.bench.write("d/stays", history.random.randbytes(2 * MIB))
    history.bench.write("d/e/small", history.random.randbytes(30_000))
    snapshots = []
    for number in range(count):
        for at in range(number, 6 * MIB, MIB):
            large[at] ^= 1
        history.bench.write("large", bytes(large))
        history.bench.write(f"gone{number}", history.random.randbytes(300_000))
        if number:
            history.remove(f"gone{number - 1}")
        snapshots.append(back_up(history, **options))
    return snapshots


def test_old_snapshots_get_the_new_chunk_size_and_hold_what_they_held(history: History) -> None:
    """Else a chunk size that was chosen late makes the repository larger for ever."""
    old = _live_through(history, chunk_size_bytes=COARSE)
    before = {one["id"]: one for one in listed(history)}
    newest = back_up(history, chunk_size_bytes=FINE, migrate=True)
    said = _migrate(history, chunk_size_bytes=FINE, dry_run=True)
    done = _migrate(history, chunk_size_bytes=FINE)
    assert done["planned"] == said["planned"]
    assert said["planned"]["snapshots"] == 5
    assert said["planned"]["files"] == 5 + 1 + 5
    assert done["read_bytes"] == said["planned"]["bytes"] == 5 * 6 * MIB + 2 * MIB + 5 * 300_000
    assert done["stored_bytes"] < 6 * MIB
    assert [one["old"] for one in done["rewritten"]] == old[::-1]
    assert done["left"] == []
    rename(history, done)
    new = {one["new"]: one["old"] for one in done["rewritten"]}
    for one in listed(history):
        if one["id"] != newest:
            was = before[new[one["id"]]]
            assert {**one, "id": was["id"], "short": was["short"]} == was
    history.check_all()
    stored = history.bench.stored_bytes()
    history.free()
    assert history.bench.stored_bytes() < stored - 25 * MIB
    assert history.bench.stored_bytes() < 13 * MIB
    history.check_all()
    again = _migrate(history, chunk_size_bytes=FINE)
    assert (again["planned"]["snapshots"], again["rewritten"], again["read_bytes"]) == (0, [], 0)
    kept = history.bench.back_up(chunk_size_bytes=FINE, migrate=True)
    history.note(run_of(kept)["snapshot"])
    assert read_bytes(kept) == 0
    history.check_all()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("set", "repository"),
        pytest.param("path", "set", marks=pytest.mark.nightly),
        pytest.param("off", "path", marks=pytest.mark.nightly),
    ],
)
def test_old_snapshots_get_the_new_scope(history: History, before: str, after: str) -> None:
    """Else what is shared is stored twice for as long as old snapshots are kept."""
    twice = history.random.randbytes(900 * KIB)
    history.bench.write("a/one", twice)
    history.bench.write("b/one", twice)
    _live_through(history, 2, deduplication=before)
    back_up(history, deduplication=after, migrate=True)
    done = _migrate(history, deduplication=after)
    assert len(done["rewritten"]) == 2
    rename(history, done)
    history.free()
    history.check_all()
    assert _migrate(history, deduplication=after)["planned"]["snapshots"] == 0


def _blocks(history: History) -> set[Path]:
    return set(history.bench.place.glob("r*/blocks/*/*"))


def test_a_snapshot_with_damage_stays_and_is_told(history: History) -> None:
    """Else one bad sector is carried into the new snapshot as if it were whole, or keeps all the others from it."""
    history.bench.write("stays", history.random.randbytes(MIB))
    first = back_up(history, chunk_size_bytes=COARSE)
    before = _blocks(history)
    history.bench.write("hit", history.random.randbytes(2 * MIB))
    hit = back_up(history, chunk_size_bytes=COARSE)
    history.remove("hit")
    (block,) = (path for path in _blocks(history) - before if path.stat().st_size > MIB)
    back_up(history, chunk_size_bytes=FINE, migrate=True)
    flip(0.5)(block)
    done = migrate_as_told(history, chunk_size_bytes=FINE)
    assert (done.exit_code, done.error and done.error["code"]) == (20, "damage.found")
    assert done.result is not None
    found = done.result["history"]
    assert [(one["snapshot"], one["damaged"]) for one in found["left"]] == [(hit, True)]
    assert [one["old"] for one in found["rewritten"]] == [first]
    assert done.error is not None
    assert done.error["context"]["snapshots"] == [hit]
    rename(history, found)
    assert {one["id"] for one in listed(history)} == set(history.trees)
    again = migrate_as_told(history, chunk_size_bytes=FINE)
    assert again.result is not None
    assert (again.exit_code, len(again.result["history"]["left"])) == (20, 1)
    history.drop(hit)
    history.free()
    history.check_all()
    assert _migrate(history, chunk_size_bytes=FINE)["left"] == []


def test_nothing_is_written_anew_while_a_drop_record_cant_be_read(history: History) -> None:
    """It may have dropped the old one: what the new one would take over from that may be deleted already."""
    history.bench.write("a", history.random.randbytes(1000))
    old = back_up(history)
    history.bench.write("b", history.random.randbytes(1000))
    back_up(history)
    name = history.records().drop(Drop(["snapshots/another"], 1, bytes(16), "a test"))
    (path,) = history.bench.place.glob(f"r*/{name}")
    flip(0.5)(path)
    found = migrate_as_told(history, deduplication="repository").result
    assert found is not None
    assert found["history"]["rewritten"] == []
    assert [one["snapshot"] for one in found["history"]["left"]][-1:] == [old]
    assert "can't be read" in str(found["history"]["left"])
    assert history.records().sessions() == {}


def test_pins_tags_and_metadata_go_along(history: History) -> None:
    """Else retention drops what somebody has pinned, or a restore forgets holes and links."""
    bench = history.bench
    holes = bench.source / "holes"
    with holes.open("wb") as file:
        file.write(history.random.randbytes(MIB))
        file.seek(20 * MIB)
        file.write(history.random.randbytes(300_000))
    bench.write("one", history.random.randbytes(500_000))
    os.link(bench.source / "one", bench.source / "other")
    (bench.source / "link").symlink_to("one")
    (bench.source / "empty").touch(mode=0o640)
    old = back_up(history, chunk_size_bytes=COARSE, tags={"of": "may"})
    records = history.records()
    note = Note(bench.clock.now_ns(), bytes(16), bytes.fromhex(old[1:]), PIN, "the wedding")
    write_note(records, note)
    shown = bench.restore()
    was = bench.above / "was"
    shown.rename(was)
    bench.write("new", b"something else")
    back_up(history, chunk_size_bytes=FINE, migrate=True)
    done = _migrate(history, chunk_size_bytes=FINE)
    rename(history, done)
    history.free()
    (new,) = (one["new"] for one in done["rewritten"])
    facts = bench.machine.run(SnapshotShowOrder(place=str(bench.place), selection=Selection(as_of=new))).result
    assert (facts["pinned"], facts["pin_reason"], facts["tags"]) == (True, "the wedding", {"of": "may"})
    assert facts["rewritten"]["from"] == old
    assert facts["settings"]["stored_as"] == [["set", str(FINE)]]
    target = bench.above / "back"
    bench.machine.run(RestoreOrder(place=str(bench.place), selection=Selection(as_of=new), to=bytes(target)))
    assert compare_trees(was, target / str(bench.source)[1:]) == []
    with pytest.raises(SnapshotNotFoundError, match=f"written anew as {new[:9]}"):
        bench.machine.run(RestoreOrder(place=str(bench.place), selection=Selection(as_of=old), to=bytes(target)))
    history.check_all()


def test_a_run_that_is_stopped_goes_on_from_there(history: History) -> None:
    """Else a history that takes longer than a night is never cut anew."""
    bench = history.bench
    old = _live_through(history, 3, chunk_size_bytes=COARSE)
    back_up(history, chunk_size_bytes=FINE, migrate=True)
    rewritten: list[str] = []
    for number in (1, 2):
        cancel = StopsAt()

        def hear(step: str, cancel: StopsAt = cancel, number: int = number) -> None:
            cancel.checks_left = 6 if step.startswith(f"write snapshot {number} of") else None

        with pytest.raises(StoppedError) as stopped:
            migrate_here(history, hear, cancel, chunk_size_bytes=FINE)
        assert "goes on from there" in stopped.value.hint
        left = {one["id"] for one in listed(history)}
        assert len(left) == 4
        rewritten = [one for one in old if one not in left]
        assert len(rewritten) == number - 1
        assert not list(bench.place.glob("r*/sessions/*"))
    done = _migrate(history, chunk_size_bytes=FINE)
    assert [one["old"] for one in done["rewritten"]] == old[1::-1]
    for one in listed(history):
        shown = bench.machine.run(SnapshotShowOrder(place=str(bench.place), selection=Selection(as_of=one["id"])))
        stands_for = shown.result["rewritten"]
        if stands_for is not None:
            history.trees[one["id"]] = history.trees.pop(stands_for["from"])
    history.free()
    history.check_all()


def test_one_that_was_killed_before_the_old_one_was_dropped_is_ended(history: History) -> None:
    """Else a snapshot stands there twice for ever, or a policy keeps the old one and drops the new one."""
    bench = history.bench
    history.bench.write("large", history.random.randbytes(MIB))
    old = back_up(history, chunk_size_bytes=COARSE)
    back_up(history, chunk_size_bytes=FINE, migrate=True)
    killed = Killed(history, chunk_size_bytes=FINE)
    assert len(listed(history)) == 3
    (set_id,) = {name.set_id for name in history.records().snapshot_names()}
    order = RetentionOrder(place=str(bench.place), set_name=set_id, policy=RetentionText(jobs=2), apply=True)
    kept = bench.machine.run(order, bench.clock).result
    assert (kept["kept_count"], kept["dropped_count"], len(listed(history))) == (2, 0, 3)
    again = _migrate(history, chunk_size_bytes=FINE)
    assert again["rewritten"] == killed.said["rewritten"]
    assert again["read_bytes"] == again["stored_bytes"] == 0
    assert [one["old"] for one in again["rewritten"]] == [old]
    rename(history, again)
    history.free()
    history.check_all()
