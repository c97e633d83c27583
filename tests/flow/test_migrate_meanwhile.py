"""What others do while a history is cut anew, and what a run finds that an earlier one had no time to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backupd.cancel import Cancel
from backupd.model import events
from backupd.model.orders import RetentionOrder, Selection, SnapshotNoteOrder, SnapshotShowOrder
from backupd.model.retention import RetentionText
from backupd.repository.notes import write_note
from backupd.seal.header import ObjectKind
from backupd.sizes import MIB
from backupd.snapshot import naming
from backupd.snapshot.records import BlockList, Drop, Note
from tests.support.histories import History
from tests.support.migrating import (
    COARSE,
    FINE,
    FINEST,
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
    return History(tmp_path, 43)


def _staged(history: History, count: int) -> list[str]:
    """Snapshots that are to be cut anew, the oldest first; a newer one has none of their files of their own."""
    history.bench.write("stays", history.random.randbytes(MIB))
    made = []
    for number in range(count):
        history.bench.write("own", history.random.randbytes(400_000 + number))
        made.append(back_up(history, chunk_size_bytes=COARSE))
    history.remove("own")
    back_up(history, chunk_size_bytes=FINE, migrate=True)
    return made


def _told(done: events.Done) -> dict[str, Any]:
    assert done.result is not None
    found: dict[str, Any] = done.result["history"]
    return found


def _at(step: str, act: Callable[[], None]) -> Callable[[str], None]:
    """Do it when that step begins."""
    return lambda name: act() if name.startswith(step) else None


def _say(history: History, snapshot: str, verb: Any, **options: Any) -> None:
    place = str(history.bench.place)
    order = SnapshotNoteOrder(place=place, verb=verb, selection=Selection(as_of=snapshot), **options)
    history.bench.machine.run(order, history.bench.clock)


def _facts(history: History, snapshot: str) -> dict[str, Any]:
    order = SnapshotShowOrder(place=str(history.bench.place), selection=Selection(as_of=snapshot))
    found: dict[str, Any] = history.bench.machine.run(order).result
    return found


def _no_sessions(history: History) -> bool:
    return not list(history.bench.place.glob("r*/sessions/*/*"))


def _retain(history: History, **policy: Any) -> dict[str, Any]:
    (set_id,) = {name.set_id for name in history.records().snapshot_names()}
    place, text = str(history.bench.place), RetentionText(**policy)
    order = RetentionOrder(place=place, set_name=set_id, policy=text, apply=True)
    found: dict[str, Any] = history.bench.machine.run(order, history.bench.clock).result
    return found


def test_what_is_noted_of_the_old_one_meanwhile_goes_along(history: History) -> None:
    """Else retention drops what somebody pinned while the migration ran, and he never hears of it."""
    first, second = _staged(history, 2)
    _say(history, second, "pin", reason="for now")
    _say(history, second, "tag", tags={"a": "1"})

    def note() -> None:
        _say(history, second, "unpin")
        _say(history, second, "tag", tags={"b": "2"}, untag=["a"])
        _say(history, first, "pin", reason="the wedding")

    told = _told(migrate_here(history, _at("write snapshot 2 of 2", note), chunk_size_bytes=FINE))
    new = {one["old"]: one["new"] for one in told["rewritten"]}
    assert new.keys() == {first, second}
    facts = _facts(history, new[second])
    assert (facts["pinned"], facts["tags"]) == (False, {"b": "2"})
    assert (_facts(history, new[first])["pinned"], _facts(history, new[first])["pin_reason"]) == (True, "the wedding")
    rename(history, told)
    history.check_all()


def test_an_old_one_of_which_something_unknown_is_noted_meanwhile_stays(history: History) -> None:
    """Else what a newer program says of it is lost with it."""
    first, second = _staged(history, 2)

    def note() -> None:
        now_ns = history.bench.clock.now_ns()
        write_note(history.records(), Note(now_ns, bytes(16), bytes.fromhex(second[1:]), "new", ""))

    told = _told(migrate_here(history, _at("write snapshot 2 of 2", note), chunk_size_bytes=FINE))
    assert [one["old"] for one in told["rewritten"]] == [first]
    assert [one["snapshot"] for one in told["left"]] == [second]
    assert second in {one["id"] for one in listed(history)}


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_pin_of_either_keeps_both_from_retention(history: History, which: str) -> None:
    """Else a pin is worth nothing until the migration that was killed is run again."""
    (old,) = _staged(history, 1)
    (pair,) = Killed(history, chunk_size_bytes=FINE).said["rewritten"]
    assert pair["old"] == old
    _say(history, pair[which], "pin")
    assert (_retain(history, jobs=1)["dropped_count"], len(listed(history))) == (0, 3)
    rename(history, _told(migrate_as_told(history, chunk_size_bytes=FINE)))
    assert _facts(history, pair["new"])["pinned"]
    assert _retain(history, jobs=1)["dropped_count"] == 0
    history.check_all()


def test_an_old_one_that_is_dropped_meanwhile_takes_along_what_stands_in(history: History) -> None:
    """Else what somebody purged stands there again, and is told as written anew."""
    first, second = _staged(history, 2)
    told = _told(
        migrate_here(history, _at("write snapshot 2 of 2", lambda: history.drop(second)), chunk_size_bytes=FINE)
    )
    assert [one["old"] for one in told["rewritten"]] == [first]
    assert [one["snapshot"] for one in told["left"]] == [second]
    rename(history, told)
    history.free()
    history.check_all()


def test_a_target_counts_what_stands_there_twice_as_one(history: History) -> None:
    """Else a policy keeps the old one in place of the new one, and both go in the end."""
    (old,) = _staged(history, 1)
    (pair,) = Killed(history, chunk_size_bytes=FINE).said["rewritten"]
    _say(history, pair["old"], "pin")
    plan = history.free(set_names=["source"], target_bytes=10 * MIB, dry_run=True)["target"]
    assert [(one["reason"], one["snapshots"]) for one in plan["held_by"]] == [("newest", 1), ("pinned", 1)]
    assert plan["drops"] == []
    _say(history, pair["old"], "unpin")
    freed = history.free(set_names=["source"], target_bytes=10 * MIB, dry_run=True)["target"]
    assert [one["id"] for one in freed["drops"]] == [pair["new"]]
    assert round(freed["drops"][0]["bytes"] / MIB, 1) >= 0.7
    history.free(set_names=["source"], target_bytes=10 * MIB, plan=freed["plan"], assume_yes=True)
    del history.trees[old]
    history.check_all()


def _end_session(history: History) -> None:
    """As another state does it that is cut off before it deletes what was announced."""
    records = history.records()
    names = [posted.said.snapshot_name for posted in records.posted()]
    assert len(names) == 1
    records.drop(Drop(names, 1, bytes(16), "ended without a checkpoint"))


@pytest.mark.parametrize("when", ["before", "during"])
def test_who_loses_its_session_leaves_nothing_open(history: History, when: str) -> None:
    """Else every cleaner waits for it until the set's next run."""
    first, second = _staged(history, 2)
    cancel: Cancel | StopsAt = Cancel()
    if when == "before":
        hear = _at("write snapshot 1 of 2", lambda: history.drop(second))
    else:
        cancel = ending = StopsAt(lambda: _end_session(history))

        def hear(name: str) -> None:
            if name.startswith("write snapshot 1 of 2"):
                ending.checks_left = 3

    def look(name: str) -> None:
        hear(name)
        if name.startswith("write snapshot 2 of 2"):
            assert _no_sessions(history)
            assert len(list(history.bench.place.glob("r*/snapshots/*/*"))) == 3 - (when == "before")
            seen.append(name)

    seen: list[str] = []
    told = _told(migrate_here(history, look, cancel, chunk_size_bytes=FINE))
    assert seen
    assert _no_sessions(history)
    assert [one["old"] for one in told["rewritten"]] == [first]
    assert [one["snapshot"] for one in told["left"]] == [second]
    rename(history, told)
    again = migrate(history, chunk_size_bytes=FINE)["history"]
    assert len(again["rewritten"]) == (when == "during")
    rename(history, again)
    history.free()
    history.check_all()


def test_what_stands_in_and_lacks_something_is_written_anew(history: History) -> None:
    """Else the old one, which is whole, is dropped for one of which a part was freed before it stood there."""
    (old,) = _staged(history, 1)
    killed = Killed(history, chunk_size_bytes=FINE)
    records = history.records()
    blocks = [bytes.fromhex(path.name) for path in killed.blocks]
    # What a cleaner closed that had looked before; it may not have come to delete all of it yet.
    records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), BlockList(1, blocks))
    records.put(ObjectKind.DELETED, naming.gc_name(1, "deleted"), BlockList(1, blocks))
    told = migrate(history, chunk_size_bytes=FINE)["history"]
    assert (told["rewritten"], told["left"]) == (killed.said["rewritten"], [])
    assert told["read_bytes"] > 300_000
    for path in killed.blocks:
        path.unlink(missing_ok=True)
    rename(history, told)
    assert [one["old"] for one in told["rewritten"]] == [old]
    history.check_all()
    history.free()
    history.check_all()
    assert _no_sessions(history)


def test_other_settings_after_a_kill_leave_no_snapshot_twice(history: History) -> None:
    """Else the same moment stands there twice for ever, and a policy counts it twice."""
    olds = _staged(history, 2)
    killed = Killed(history, chunk_size_bytes=FINE)
    told = migrate(history, chunk_size_bytes=FINEST)["history"]
    assert [one["old"] for one in told["rewritten"][:2]] == olds[::-1]
    rename(history, told)
    assert len(listed(history)) == 3
    assert {one["new"] for one in killed.said["rewritten"]} == {one["new"] for one in told["rewritten"][:2]}
    history.free()
    history.check_all()


def test_settings_that_are_taken_back_after_a_kill_leave_no_snapshot_twice(history: History) -> None:
    """Else the old ones, which are as they are wanted, are not even looked at."""
    _staged(history, 2)
    assert migrate(history, chunk_size_bytes=COARSE)["history"]["rewritten"] == []
    back_up(history, chunk_size_bytes=COARSE, migrate=True)
    rename(history, migrate(history, chunk_size_bytes=COARSE)["history"])
    Killed(history, chunk_size_bytes=FINE)
    for size in (COARSE, FINE, COARSE):
        rename(history, migrate(history, chunk_size_bytes=size)["history"])
        assert len(listed(history)) == 4
    history.free()
    history.check_all()


def test_what_was_made_for_one_that_was_dropped_is_made_once_more_and_no_more(history: History) -> None:
    """Else one drop beside a long migration has each snapshot after it read all that they share."""
    _staged(history, 3)

    def drop(name: str) -> None:
        if name.startswith("write snapshot 2 of 3"):
            (new,) = {one["id"] for one in listed(history)} - history.trees.keys()
            history.note(new)
            history.drop(new)

    told = _told(migrate_here(history, drop, chunk_size_bytes=FINE))
    assert told["read_bytes"] == 2 * MIB + 3 * 400_000 + 3
    assert (len(told["rewritten"]), len(told["left"])) == (2, 1)
    rename(history, told)
    history.check_all()
