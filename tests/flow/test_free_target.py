"""`free --target`: what was promised is given back, by just the snapshots that were shown, or nothing is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from backupd.errors import AnswerNeededError, BusyError, DamageError, SetNotFoundError, UsageError
from backupd.model.orders import Selection, SnapshotListOrder, SnapshotNoteOrder
from backupd.operations.freeing import cleaning
from backupd.operations.freeing.targeting import Targeting
from backupd.seal.header import ObjectKind
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.records import Session
from backupd.store_errors import PlanOutdatedError
from tests.support.histories import History, tree_of

_MIB = 1 << 20
_SET = "source"


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 31)


def _grow(history: History, runs: int = 5) -> list[str]:
    """Each run holds a large file that the next has not, and what all have."""
    made = [history.back_up({"big0": _MIB, "stays": _MIB, "d/stays": 50_000})]
    for number in range(1, runs):
        history.remove(f"big{number - 1}")
        made.append(history.back_up({f"big{number}": (number + 1) * _MIB, f"d/small{number}": 3000}))
    return made


def _free(history: History, **options: Any) -> dict[str, Any]:
    """And what was dropped is expected no longer."""
    freed = history.free(set_names=[_SET], **options)
    if freed["target"]["changed"]:
        for drop in freed["target"]["drops"]:
            del history.trees[drop["id"]]
    return freed


def _dropped(freed: dict[str, Any]) -> list[str]:
    return [drop["id"] for drop in freed["target"]["drops"]]


def test_a_plan_changes_nothing_and_is_then_carried_out(history: History) -> None:
    """What is shown must be what goes, and what it gives."""
    made = _grow(history)
    before = sorted(history.bench.place.rglob("*"))
    said = _free(history, target_bytes=4 * _MIB, dry_run=True)
    assert sorted(history.bench.place.rglob("*")) == before
    plan = said["target"]
    assert _dropped(said) == made[:3]
    assert (plan["changed"], plan["short_bytes"], plan["dead_bytes"]) == (False, 0, 0)
    assert [one["kept_by_policy"] for one in plan["drops"]] == [True] * 3
    assert plan["drops"][-1]["sum_bytes"] == plan["planned_bytes"] == said["planned_bytes"] > 6 * _MIB
    assert [round(one["bytes"] / _MIB) for one in plan["drops"]] == [1, 2, 3]
    stored = history.bench.stored_bytes()
    freed = _free(history, target_bytes=4 * _MIB, plan=plan["plan"], assume_yes=True)
    assert _dropped(freed) == made[:3]
    assert freed["freed_bytes"] == stored - history.bench.stored_bytes()
    # Files of random bytes, each in segments of its own: shares are exact but for what is put together anew.
    assert abs(freed["freed_bytes"] - plan["planned_bytes"]) < 4096
    history.check_all()


def test_shares_of_segments_that_are_partly_needed(history: History) -> None:
    """Small files of many runs lie in one segment: by their number, shares would promise ten times what they give."""
    first = history.back_up({f"few{n}": 90_000 for n in range(20)} | {f"many{n}": 900 for n in range(200)})
    for number in range(20):
        history.remove(f"few{number}")
    second = history.back_up({"new": 5000})
    for number in range(0, 200, 2):
        history.remove(f"many{number}")
    history.back_up({"newer": 5000})
    plan = _free(history, target_bytes=1_850_000, dry_run=True)["target"]
    assert [one["id"] for one in plan["drops"]] == [first, second]
    freed = _free(history, target_bytes=1_850_000, confirmed=_SET)
    assert 1_885_000 < plan["planned_bytes"] < 1_920_000
    assert abs(freed["freed_bytes"] - plan["planned_bytes"]) < 0.005 * plan["planned_bytes"]
    history.check_all()


def test_a_target_is_reached_although_each_block_is_mostly_needed(history: History) -> None:
    """A freeing by itself leaves three percent where they are; who asks for them needs them."""
    first = history.back_up({"gone": 200_000, "stays": 12 * _MIB})
    history.remove("gone")
    history.back_up({"new": 1000})
    history.drop(first)
    assert history.free()["freed_bytes"] < 10_000
    freed = _free(history, target_bytes=190_000)
    assert _dropped(freed) == []
    assert 200_000 <= freed["target"]["dead_bytes"] < 220_000
    assert freed["freed_bytes"] >= 190_000
    history.check_all()


def test_a_target_is_reached_although_each_segment_is_mostly_needed(history: History) -> None:
    """Segments are copied as they are where little of them is dead: so nothing of what was promised would come back."""
    first = history.back_up({f"{number}": 8000 for number in range(600)})
    for number in range(0, 600, 40):
        history.remove(f"{number}")
    history.back_up({"new": 1000})
    said = _free(history, target_bytes=115_000, dry_run=True)["target"]
    assert [one["id"] for one in said["drops"]] == [first]
    freed = _free(history, target_bytes=115_000, confirmed=_SET)
    assert freed["freed_bytes"] >= 115_000
    assert abs(freed["freed_bytes"] - said["planned_bytes"]) < 0.1 * said["planned_bytes"]
    history.check_all()


def test_what_can_not_be_reached_is_said_with_what_holds_it(history: History) -> None:
    """A disk that stays full, and nobody knows why."""
    made = _grow(history)
    order = SnapshotNoteOrder(place=str(history.bench.place), verb="pin", selection=Selection(as_of=made[1]))
    history.bench.machine.run(order, history.bench.clock)
    # The same as the newest, but for a directory above the source: to drop it would give nothing.
    history.bench.above.joinpath("another").mkdir()
    same = history.bench.back_up().result["runs"][0]["snapshot"]
    history.note(same)
    said = _free(history, target_bytes=100 * _MIB, dry_run=True)["target"]
    assert [one["id"] for one in said["drops"]] == [made[0], made[2], made[3]]
    assert said["short_bytes"] == 100 * _MIB - said["planned_bytes"]
    held = {one["reason"]: (one["snapshots"], one["bytes"] // _MIB) for one in said["held_by"]}
    assert held == {"newest": (1, 6), "pinned": (1, 2)}
    outcome = history.bench.machine.run(
        history.order(set_names=[_SET], target_bytes=100 * _MIB, confirmed=_SET), history.bench.clock
    )
    assert (outcome.done.exit_code, (outcome.done.error or {})["code"]) == (3, "free.target_missed")
    for id_ in _dropped(outcome.result):
        del history.trees[id_]
    history.check_all()


def test_what_the_policy_would_keep_is_confirmed_by_name(history: History) -> None:
    """A script must not lose what nobody agreed to."""
    made = _grow(history, 3)
    with pytest.raises(AnswerNeededError) as caught:
        _free(history, target_bytes=_MIB, assume_yes=True)
    assert caught.value.context == {"confirm": _SET}
    with pytest.raises(AnswerNeededError):
        _free(history, target_bytes=_MIB, confirmed="other")
    history.check_all()
    assert _dropped(_free(history, target_bytes=_MIB // 2, confirmed=_SET)) == made[:1]


def _new_run(history: History, _made: list[str]) -> None:
    history.back_up({"new": 1000})


def _unpinned(history: History, made: list[str]) -> None:
    selection = Selection(as_of=made[0])
    order = SnapshotNoteOrder(place=str(history.bench.place), verb="pin", selection=selection)
    history.bench.machine.run(order, history.bench.clock)


def _dropped_by_another(history: History, made: list[str]) -> None:
    history.drop(made[1])


@pytest.mark.parametrize("change", [_new_run, _unpinned, _dropped_by_another])
def test_a_plan_that_things_have_passed_is_refused(history: History, change: Any) -> None:
    """Another snapshot would go than was shown."""
    made = _grow(history, 4)
    plan = _free(history, target_bytes=2 * _MIB, dry_run=True)["target"]["plan"]
    change(history, made)
    for options in ({}, {"target_bytes": 2 * _MIB}):
        with pytest.raises(PlanOutdatedError) as caught:
            _free(history, plan=plan, assume_yes=True, **options)
        assert caught.value.exit_code == 17
    history.check_all()


def test_a_run_between_the_look_and_the_drop(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who thinks for an hour about the question must lose what he was shown, or nothing."""
    _grow(history, 4)
    confirm = Targeting.confirm

    def late(self: Targeting, plan: Any) -> None:
        confirm(self, plan)
        history.back_up({"new": 1000})

    monkeypatch.setattr(Targeting, "confirm", late)
    with pytest.raises(PlanOutdatedError):
        _free(history, target_bytes=2 * _MIB, confirmed=_SET)
    history.check_all()


def test_a_set_that_is_written_is_left_alone(history: History) -> None:
    """Its run may build on what would go."""
    _grow(history, 3)
    set_id = history.records().snapshot_names()[0].set_id
    with SetLock(str(history.bench.machine.home / "state" / "backupd"), set_id) as lock:
        lock.acquire(SystemClock())
        assert _dropped(_free(history, target_bytes=_MIB // 2, dry_run=True))
        with pytest.raises(BusyError):
            _free(history, target_bytes=_MIB // 2, confirmed=_SET)
    history.check_all()


def test_what_a_writer_of_another_host_builds_on_stays(history: History) -> None:
    """It would give nothing back as long as that runs, and another one would be the oldest then."""
    made = _grow(history, 4)
    records = history.records()
    names = [one.name for one in records.snapshot_names()]
    base = next(name for name in names if naming.snapshot_id_text(records.snapshot(name).id) == made[0])
    session = bytes(range(16))
    name = naming.snapshot_name(bytes(16), 1, session)
    announced = Session(session, 1, bytes(16), bytes(16), "boot", bytes(16), [base], name, history.bench.clock.now_ns())
    records.put(ObjectKind.SESSION, naming.session_name(session, 1), announced)
    said = _free(history, target_bytes=100 * _MIB, dry_run=True)["target"]
    assert [one["id"] for one in said["drops"]] == made[1:3]
    assert {one["reason"]: one["snapshots"] for one in said["held_by"]} == {"newest": 1, "writer": 1}


def test_what_waits_for_writers_is_said(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """23: it is given back later, and by what."""
    monkeypatch.setattr(cleaning, "PATIENCE_SECONDS", 0.0)
    made = _grow(history, 4)
    records, session = history.records(), bytes(range(16))
    name = naming.snapshot_name(bytes(16), 1, session)
    announced = Session(session, 1, bytes(16), bytes(16), "boot", bytes(16), [], name, history.bench.clock.now_ns())
    records.put(ObjectKind.SESSION, naming.session_name(session, 1), announced)
    order = history.order(set_names=[_SET], target_bytes=_MIB // 2, confirmed=_SET)
    outcome = history.bench.machine.run(order, history.bench.clock)
    assert (outcome.done.exit_code, (outcome.done.error or {})["code"]) == (23, "free.waits")
    assert [one["what"] for one in outcome.result["waiting"]] == ["session"]
    assert _dropped(outcome.result) == made[:1]
    # Nothing is deleted yet; copies of what is needed may have been written.
    assert outcome.result["freed_bytes"] <= outcome.result["deleted"]["blocks"] == 0
    del history.trees[made[0]]
    records.remove_session(session, [1])
    assert history.free()["freed_bytes"] > 0.9 * _MIB
    history.check_all()


def test_only_sets_that_were_named_lose_snapshots(history: History) -> None:
    """Another host's history would go for this one's wish."""
    made = _grow(history, 3)
    other = history.bench.back_up(set_name="other", deduplication="repository").result["runs"][0]["snapshot"]
    history.bench.write("big9", bytes(10))
    newer = history.bench.back_up(set_name="other", deduplication="repository").result["runs"][0]["snapshot"]
    said = _free(history, target_bytes=100 * _MIB, dry_run=True)["target"]
    assert [one["id"] for one in said["drops"]] == made[:2]
    assert {one["reason"]: one["snapshots"] for one in said["held_by"]} == {"newest": 1, "other_sets": 2}
    both = history.free(set_names=[_SET, "other"], target_bytes=100 * _MIB, dry_run=True)["target"]
    assert [one["id"] for one in both["drops"]] == [*made[:2], other]
    with pytest.raises(AnswerNeededError) as caught:
        history.free(set_names=[_SET, "other"], target_bytes=100 * _MIB)
    assert caught.value.context["confirm"].startswith("r")
    _free(history, target_bytes=100 * _MIB, confirmed=_SET)
    listed = history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"]
    assert {one["id"] for one in listed} == {made[2], other, newer}


def test_what_is_not_said_well_is_refused(history: History) -> None:
    """A mistyped name must not have another set's snapshots dropped."""
    _grow(history, 2)
    with pytest.raises(SetNotFoundError):
        history.free(set_names=["nope"], target_bytes=1, confirmed="nope")
    with pytest.raises(UsageError):
        history.free(target_bytes=1, confirmed=_SET)
    for plan in ("p12", "latest", "p" + "g" * 32):
        with pytest.raises(UsageError):
            _free(history, plan=plan, assume_yes=True)
    history.check_all()


@pytest.mark.parametrize("kind", ["snapshots/*", "index", "blocks/*"])
def test_what_can_not_be_read_ends_it_before_anything_is_dropped(history: History, kind: str) -> None:
    """What looks useless by an index that is half read may be all that is left of a file."""
    _grow(history, 3)
    path = min(history.bench.place.glob(f"r*/{kind}/*"))
    data = path.read_bytes()
    if kind.startswith("blocks"):
        path.unlink()
    else:
        path.write_bytes(data[:-20] + bytes(20))
    # What this host has read before of the index, it need not read again.
    for table in history.bench.machine.home.glob("cache/backupd/r*/*/index/*"):
        table.unlink()
    with pytest.raises(DamageError):
        _free(history, target_bytes=_MIB, confirmed=_SET)
    assert not list(history.bench.place.glob("r*/gc/drop-*"))
    path.write_bytes(data)
    history.check_all()


def test_figures_against_a_count_by_hand(history: History) -> None:
    """A statistic that nobody can trust is worse than none."""
    history.back_up({"a": 1000, "b": 2 * _MIB, "twice/x": 300_000})
    history.bench.write("twice/y", (history.bench.source / "twice/x").read_bytes())
    (history.bench.source / "text").write_bytes(b"all the same words again and again. " * 20_000)
    history.back_up({"a": 1100})
    # b changes in place, text goes, a directory is copied with all its times.
    data = bytearray((history.bench.source / "b").read_bytes())
    data[100:110] = bytes(10)
    history.bench.write("b", bytes(data))
    history.remove("text")
    third = history.back_up({"new": 10_000})
    said, freed = history.free(dry_run=True), history.free()
    stats = _stats(freed)
    assert _stats(said) == stats
    assert stats["snapshot"] == third
    now = tree_of(history.bench.source)
    former = [(1000, "a"), (2 * _MIB, "b"), (720_000, "text")]
    assert (stats["data"]["files"], stats["data"]["source_bytes"]) == (len(now), sum(map(len, now.values())))
    assert (stats["retention"]["files"], stats["retention"]["source_bytes"]) == (3, sum(size for size, _ in former))
    # Each chunk once: what is twice is counted once.
    assert stats["data"]["plain_bytes"] == stats["data"]["source_bytes"] - 300_000
    # Where a file is cut depends on the repository's key: a is whole, b as it was may share with b as it is.
    assert 1000 < stats["retention"]["plain_bytes"] <= stats["retention"]["source_bytes"]
    assert stats["data"]["compressed_bytes"] >= 2 * _MIB
    # A text of one line is next to nothing.
    assert stats["retention"]["compressed_bytes"] < 2 * _MIB + 20_000
    both = stats["data"]["stored_bytes"] + stats["retention"]["stored_bytes"]
    stored = history.bench.stored_bytes()
    assert freed["statistics"]["stored_bytes"] == freed["after"]["stored_bytes"] == stored
    # Nothing was dropped, so each byte is somebody's.
    assert both == stored


def _stats(freed: dict[str, Any]) -> dict[str, Any]:
    (found,) = freed["statistics"]["sets"]
    return dict(found)
