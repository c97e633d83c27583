"""A record that can't be read ends each freeing; its hint names a way out, and none of them lets more be deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backupd.destination.contract import Traits
from backupd.destination.local import LocalDestination
from backupd.errors import AnswerNeededError, BackupError, ConflictError, DamageError
from backupd.model.destination_orders import DestinationSessionsOrder
from backupd.model.orders import CheckOrder, SnapshotListOrder
from backupd.operations.backup.session import RunningSession, WriterIdentity
from backupd.repository.looking import Looking
from backupd.repository.notes import read_notes, write_note
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.notes import PIN
from backupd.snapshot.records import BlockList, Damage, Note
from tests.support import damaging
from tests.support.histories import History

_MIB = 1 << 20
_SET = "source"


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 61)


def _one(history: History, pattern: str) -> Path:
    (found,) = history.bench.place.glob(f"r*/{pattern}")
    return found


def _check(history: History, **more: Any) -> tuple[int, dict[str, Any]]:
    done = history.bench.machine.run(CheckOrder(place=str(history.bench.place), **more), history.bench.clock).done
    return done.exit_code, done.result


def _healed(result: dict[str, Any]) -> list[str]:
    return [one["object"] for one in result["healed_objects"]]


def _is_held_back(history: History, hint: str) -> None:
    """A freeing ends before anything is deleted, and says what helps; so does a plain check."""
    before = sorted(history.bench.place.glob("r*/blocks/*/*"))
    with pytest.raises(DamageError) as caught:
        history.free()
    assert (caught.value.exit_code, hint in caught.value.hint) == (20, True), caught.value.hint
    assert sorted(history.bench.place.glob("r*/blocks/*/*")) == before
    done = history.bench.machine.run(CheckOrder(place=str(history.bench.place)), history.bench.clock).done
    here = hint.replace("bkctl check SET", f"bkctl check --from {history.bench.place}")
    assert (done.exit_code, here in (done.error or {})["hint"]) == (20, True), done.error


def test_a_list_of_candidates_is_ended_by_one_that_gives_nothing_free(history: History) -> None:
    """It named blocks that are needed as well: what nobody knows must never be taken for what may go."""
    history.back_up({"a": 200_000, "b": 50_000})
    records = history.records()
    blocks = [bytes.fromhex(path.name) for path in history.bench.place.glob("r*/blocks/*/*")]
    records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), BlockList(1, blocks))
    damaging.flip(0.5)(_one(history, "gc/*.candidates"))
    _is_held_back(history, "bkctl check SET --repair")
    with pytest.raises(BackupError):
        history.bench.back_up()
    exit_code, result = _check(history, repair=True)
    assert (exit_code, _healed(result)) == (0, [naming.gc_name(1, "candidates")])
    first = history.back_up({"c": 300_000})
    history.remove("c")
    history.back_up({"d": 1000})
    history.drop(first)
    assert history.free()["deleted"]["blocks"] >= 1
    history.check_all()


def _deleted_in_part(history: History) -> tuple[Path, bytes]:
    """A freeing whose cleaner sleeps before the last deletion: that block, and a file that lies in it."""
    first = history.back_up({"gone": 2 * _MIB, "stays": 100_000})
    gone = (history.bench.source / "gone").read_bytes()
    history.remove("gone")
    history.back_up({"new": 1000})
    history.drop(first)
    before = {path: path.read_bytes() for path in history.bench.place.glob("r*/blocks/*/*")}
    history.free()
    deleted = [path for path in before if not path.exists()]
    assert len(deleted) > 1
    largest = max(deleted, key=lambda path: len(before[path]))
    largest.parent.mkdir(exist_ok=True)
    largest.write_bytes(before[largest])
    return largest, gone


def test_what_a_list_gave_free_is_relied_on_by_nobody_though_it_cant_be_read(history: History) -> None:
    """Who deletes by that list may only be asleep: what a backup then counts on goes under its feet."""
    sleeper, content = _deleted_in_part(history)
    damaging.flip(0.5)(_one(history, "gc/*.deleted"))
    _is_held_back(history, "bkctl check SET --repair")
    exit_code, result = _check(history, repair=True)
    assert (exit_code, _healed(result)) == (0, [naming.gc_name(1, "deleted")])
    assert history.records().gc_state().open_lists == [3]
    assert not history.records().damage(), "nothing is bad, and no record of damage is to hold for that"
    assert _check(history, crc=True)[0] == 0
    history.bench.write("back again", content)
    history.back_up({})
    sleeper.unlink()
    history.check_all()
    history.remove("back again")
    last = history.back_up({"e": 2000})
    history.drop(*[one for one in history.trees if one != last])
    assert history.free()["deleted"]["blocks"] >= 1
    assert not list(history.bench.place.glob("r*/gc/1.deleted")) or _check(history)[0] == 0
    history.check_all()


class _Late(Records):
    """Its first listing of drop records and lists begins before what comes then, of which it shows some."""

    meanwhile: Callable[[], object] | None = None

    def _listed_gc(self) -> list[str]:
        meanwhile, self.meanwhile = self.meanwhile, None
        before = super()._listed_gc()
        if meanwhile is None:
            return before
        meanwhile()
        return [name for name in super()._listed_gc() if name in before or name.endswith(".deleted")]


def test_who_lists_while_a_list_is_done_without_sees_what_may_still_go(history: History) -> None:
    """A listing that misses the new candidates, and shows the list that covers the old one, has them taken for good."""
    sleeper, _ = _deleted_in_part(history)
    damaging.flip(0.5)(_one(history, "gc/*.deleted"))
    records = _Late(history.records().repository)
    records.meanwhile = lambda: _check(history, repair=True)
    assert bytes.fromhex(sleeper.name) in records.gc_state().absent


def test_a_repair_of_a_list_that_was_broken_off_asks_for_nothing_twice(history: History) -> None:
    """Killed between both: the candidates are there, the list that covers is not."""
    _deleted_in_part(history)
    damaging.flip(0.5)(_one(history, "gc/*.deleted"))
    _check(history, repair=True)
    _one(history, "gc/2.deleted").unlink()
    exit_code, result = _check(history, repair=True)
    assert (exit_code, _healed(result)) == (0, [naming.gc_name(1, "deleted")])
    assert history.records().gc_state().open_lists == [3]
    history.free()
    assert history.records().gc_state().open_lists == []
    history.check_all()


def test_without_its_candidates_a_list_has_no_way_out(history: History) -> None:
    """Nobody knows then what was deleted: a guess would lose what a snapshot needs."""
    _deleted_in_part(history)
    for path in history.bench.place.glob("r*/gc/*.*"):
        damaging.flip(0.5)(path)
    before = {path: path.read_bytes() for path in history.bench.place.glob("r*/gc/*.*")}
    _is_held_back(history, "bkctl destination replicate")
    exit_code, result = _check(history, repair=True)
    assert (exit_code, _healed(result)) == (20, [])
    assert {path: path.read_bytes() for path in history.bench.place.glob("r*/gc/*.*")} == before


def test_what_a_newer_list_covers_is_no_problem_whatever_of_it_is_damaged(history: History) -> None:
    """Nobody reads it, and no repair could do without candidates whose list can't be read either: told for ever."""
    history.back_up({"a": 1000})
    records, blocks = history.records(), [os.urandom(32)]
    for n, covers in ((1, []), (2, [1])):
        records.put(ObjectKind.CANDIDATES, naming.gc_name(n, "candidates"), BlockList(n, blocks))
        records.put(ObjectKind.DELETED, naming.gc_name(n, "deleted"), BlockList(n, blocks, covers))
    for path in history.bench.place.glob("r*/gc/1.*"):
        damaging.flip(0.5)(path)
    history.check_all()


def test_a_damage_record_goes_when_all_was_read_again(history: History) -> None:
    """What it named may be the only bad copy that a cleaner would keep: it has to be found again first."""
    history.back_up({"a": 200_000})
    largest = max(history.bench.place.glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)
    history.records().report_damage(Damage(1, bytes(16), [(bytes.fromhex(largest.name), None)]))
    damaging.truncate(0.5)(_one(history, "damage/*"))
    _is_held_back(history, "--crc")
    assert _healed(_check(history, repair=True)[1]) == []
    damaging.flip(0.5)(largest)
    exit_code, result = _check(history, repair=True, crc=True)
    assert (exit_code, [name.partition("/")[0] for name in _healed(result)]) == (0, ["damage"])
    assert history.records().damage(), "found again, and recorded"
    history.free()
    history.check_all()


def test_a_note_may_have_been_a_pin_of_any_snapshot(history: History) -> None:
    """Retention would drop what somebody wanted kept."""
    made = [history.back_up({f"a{number}": 1000}) for number in range(3)]
    records = history.records()
    pinned = bytes.fromhex(made[0][1:])
    write_note(records, Note(5, bytes(16), pinned, PIN, "for the court"))
    damaging.flip(0.5)(_one(history, "notes/*"))
    exit_code, result = _check(history, repair=True)
    assert (exit_code, _healed(result)) == (20, [])
    exit_code, result = _check(history, repair=True, confirmed=_SET)
    assert (exit_code, len(_healed(result))) == (0, 1)
    assert all(one.is_pinned for one in read_notes(records).values())
    assert len(read_notes(records)) == 3


def test_where_listings_lag_no_note_is_done_without(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that is not listed there yet could be the one that somebody pinned."""
    snapshot = history.back_up({"a": 1000})
    write_note(history.records(), Note(5, bytes(16), bytes.fromhex(snapshot[1:]), PIN, "for the court"))
    note = _one(history, "notes/*")
    damaging.flip(0.5)(note)
    traits = Traits(create_if_absent=False, parallel_calls=True, reports_space=True)
    monkeypatch.setattr(LocalDestination, "traits", property(lambda _: traits))
    assert _healed(_check(history, repair=True, confirmed=_SET)[1]) == []
    assert _one(history, "notes/*") == note
    monkeypatch.undo()
    assert len(_healed(_check(history, repair=True, confirmed=_SET)[1])) == 1


def test_a_drop_record_goes_where_all_that_stands_is_whole(history: History) -> None:
    """What it dropped and still stands comes back to sight; nothing goes by that."""
    first = history.back_up({"gone": 300_000})
    history.remove("gone")
    history.back_up({"a": 1000})
    history.drop(first)
    damaging.flip(0.5)(_one(history, "gc/drop-*"))
    with pytest.raises(DamageError, match="gone") as caught:
        history.free()
    assert "--accept-rollback" in caught.value.hint, "this host has seen the snapshot, and nothing says who dropped it"
    exit_code, result = _check(history, repair=True, accept_rollback=True)
    assert (exit_code, _healed(result)) == (20, [])
    exit_code, result = _check(history, repair=True, confirmed=_SET)
    assert (exit_code, len(_healed(result))) == (0, 1)
    assert history.free()["deleted"]["blocks"] >= 1
    history.check_all()


def test_no_drop_record_is_done_without_while_space_is_freed(history: History) -> None:
    """Whoever began that has read it, and deletes what comes back to sight."""
    first = history.back_up({"gone": 300_000})
    history.remove("gone")
    history.back_up({"a": 1000})
    history.drop(first)
    records, given = history.records(), BlockList(1, [os.urandom(32)])
    records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), given)
    damaging.flip(0.5)(_one(history, "gc/drop-*"))
    wanted: dict[str, Any] = {"repair": True, "confirmed": _SET, "accept_rollback": True}
    assert _healed(_check(history, **wanted)[1]) == []
    records.put(ObjectKind.DELETED, naming.gc_name(1, "deleted"), given)
    assert len(_healed(_check(history, **wanted)[1])) == 1
    history.check_all()


def test_a_cleaner_goes_by_no_drop_record_that_cant_be_read_any_more(history: History) -> None:
    """It may have been done without since he read it: then what it dropped is needed."""
    first = history.back_up({"gone": 300_000})
    history.back_up({"a": 1000})
    history.drop(first)
    folder = history.bench.above / "index"
    folder.mkdir()
    looking = Looking(history.records(), str(folder), lambda: None)
    looking.look().index.tables.close()
    damaging.flip(0.5)(_one(history, "gc/drop-*"))
    with pytest.raises(DamageError, match="drop-"):
        looking.look()


def test_a_session_that_nobody_can_read_is_given_up_when_asked(history: History) -> None:
    """Its writer may only be asleep: then it must not commit what was freed meanwhile."""
    history.back_up({"a": 1000})
    records, now_ns = history.records(), history.bench.clock.now_ns()
    listed = records.snapshot_names()
    who = WriterIdentity(bytes(16), os.urandom(16), "boot", bytes.fromhex(listed[0].set_id[1:]))
    sleeper = RunningSession(os.urandom(16), records, who, [], now_ns)
    sleeper.post(now_ns)
    damaging.flip(0.5)(_one(history, "sessions/*/*"))
    _is_held_back(history, "bkctl destination sessions DEST --revoke ID")
    order = DestinationSessionsOrder(place=str(history.bench.place))
    (found,) = history.bench.machine.run(order).result["sessions"]
    assert (found["snapshot_state"], found["holds_back_freeing"]) == ("unknown", True)
    order = DestinationSessionsOrder(place=str(history.bench.place), revoke=found["id"], assume_yes=True)
    with pytest.raises(AnswerNeededError):
        history.bench.machine.run(order)
    order = DestinationSessionsOrder(place=str(history.bench.place), revoke=found["id"], confirmed=found["short"])
    assert history.bench.machine.run(order).result["partial"] is None
    history.free()
    with pytest.raises(ConflictError):
        sleeper.commit(records.snapshot(listed[0].name), now_ns)
    assert len(history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"]) == 1
    history.check_all()
