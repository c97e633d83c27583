"""What others do while a purge writes snapshots anew, and what one finds that an earlier one had no time to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.errors import StoppedError
from backupd.model import events
from backupd.model.orders import Selection, SnapshotNoteOrder, SnapshotShowOrder
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.purge.choosing import reason_of
from backupd.repository.dropping import CUT_ANEW, drop_snapshots
from backupd.repository.notes import write_note
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.records import BlockList, Note
from tests.support.histories import History
from tests.support.migrating import listed, run_here


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 47)


def _staged(history: History) -> list[str]:
    """Three snapshots, each with the secret and something of its own beside it."""
    history.back_up({"d/secret": 50_000, "d/stays": 60_000})
    for number in range(2):
        history.back_up({f"d/more{number}": 40_000})
    return list(history.trees)


def _purge(history: History, hear: Callable[[str], None] = lambda _: None) -> events.Done:
    """The secret, from all of them. hear: is told of each step of what is carried out, before it begins."""
    bench, order = history.bench, _wanted(history)
    plan = bench.machine.run(msgspec.structs.replace(order, dry_run=True), bench.clock).result["plan"]
    return run_here(history, msgspec.structs.replace(order, plan=plan), hear)


def _wanted(history: History) -> PurgeOrder:
    bench = history.bench
    order: PurgeOrder = PurgeOrder(
        place=str(bench.place), set_names=["source"], paths=[bytes(bench.source) + b"/d/secret"]
    )
    return order


def _at(step: str, act: Callable[[], None]) -> Callable[[str], None]:
    return lambda name: act() if name == step else None


def _stop() -> None:
    raise StoppedError("enough")


def _rename(history: History) -> None:
    """What the old ones held but for the secret, the new ones hold."""
    place = str(history.bench.place)
    for one in listed(history):
        order = SnapshotShowOrder(place=place, selection=Selection(as_of=one["id"]))
        facts: dict[str, Any] = history.bench.machine.run(order).result
        if facts["rewritten"] is not None and facts["rewritten"]["from"] in history.trees:
            tree = history.trees.pop(facts["rewritten"]["from"])
            history.trees[one["id"]] = {path: data for path, data in tree.items() if path != "d/secret"}


def test_what_stands_in_and_lacks_something_is_written_anew(history: History) -> None:
    """Else the old one, which is whole, is dropped for one of which a part was freed before it stood there."""
    _staged(history)
    before = set(history.bench.place.glob("r*/blocks/*/*"))
    assert _purge(history, _at("write snapshot 2 of 3 anew", _stop)).exit_code != 0
    assert len(listed(history)) == 4
    blocks = [bytes.fromhex(path.name) for path in set(history.bench.place.glob("r*/blocks/*/*")) - before]
    assert blocks

    def close() -> None:
        # What a cleaner had as candidates before it stood there.
        records = history.records()
        records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), BlockList(1, blocks))
        records.put(ObjectKind.DELETED, naming.gc_name(1, "deleted"), BlockList(1, blocks))

    done = _purge(history, _at("write snapshot 1 of 3 anew", close))
    assert done.exit_code == 0, done.error
    _rename(history)
    assert len(history.trees) == 3
    history.check_all()
    history.free()
    history.check_all()


def test_what_is_noted_of_the_old_one_meanwhile_goes_along(history: History) -> None:
    """Else retention drops what somebody pinned while the purge ran."""
    first, *_ = _staged(history)

    def note() -> None:
        order = SnapshotNoteOrder(
            place=str(history.bench.place), verb="pin", selection=Selection(as_of=first), reason="the wedding"
        )
        history.bench.machine.run(order, history.bench.clock)

    assert _purge(history, _at("write snapshot 3 of 3 anew", note)).exit_code == 0
    oldest = min(listed(history), key=lambda one: str(one["time"]))
    order = SnapshotShowOrder(place=str(history.bench.place), selection=Selection(as_of=oldest["id"]))
    facts = history.bench.machine.run(order).result
    assert (facts["rewritten"]["from"], facts["pinned"], facts["pin_reason"]) == (first, True, "the wedding")
    _rename(history)
    history.check_all()


def test_an_old_one_that_is_dropped_meanwhile_takes_along_what_stands_in(history: History) -> None:
    """Else a snapshot that somebody dropped for good stands there again."""
    first, *_ = _staged(history)
    assert _purge(history, _at("write snapshot 3 of 3 anew", lambda: history.drop(first))).exit_code == 0
    _rename(history)
    assert len(history.trees) == 2
    history.check_all()


def test_another_host_that_takes_over_what_stands_in_loses_nothing(history: History) -> None:
    """It dropped the old one for that, with the same purge: dropping the new one as well would lose what is to stay."""
    first, *_ = _staged(history)
    reason = reason_of(_wanted(history), "rewrite")
    assert _purge(history, _at("write snapshot 3 of 3 anew", lambda: _drop(history, first, reason))).exit_code == 0
    _rename(history)
    assert len(history.trees) == 3
    history.check_all()


@pytest.mark.parametrize("reason", ["purge\nset x\npaths of others\nplan p\nrewrite", CUT_ANEW])
def test_what_somebody_else_wrote_anew_meanwhile_is_not_all_that_is_left(history: History, reason: str) -> None:
    """What stands in for it there may hold the paths of this purge, and what stands in here those of the other one."""
    first, *_ = _staged(history)
    done = _purge(history, _at("write snapshot 3 of 3 anew", lambda: _drop(history, first, reason)))
    assert done.error is not None
    assert "was written anew by somebody else" in done.error["message"]
    del history.trees[first]
    _rename(history)
    assert len(history.trees) == 2
    history.check_all()


def _drop(history: History, snapshot: str, reason: str) -> None:
    (name,) = [one.name for one in history.records().snapshot_names() if _id(history, one.name) == snapshot]
    drop_snapshots(history.records(), [name], history.bench.clock.now_ns(), bytes(16), reason)


def _id(history: History, name: str) -> str:
    return naming.snapshot_id_text(history.records().snapshot(name).id)


def test_where_what_stands_in_is_dropped_meanwhile_the_old_one_stays(history: History) -> None:
    """Else the snapshot is gone altogether, though nobody asked for that."""
    olds = _staged(history)

    def drop() -> None:
        (new,) = [one["id"] for one in listed(history) if one["id"] not in olds]
        history.trees[new] = {}
        history.drop(new)

    done = _purge(history, _at("write snapshot 2 of 3 anew", drop))
    assert done.error is not None
    assert "dropped meanwhile" in done.error["message"]
    assert olds[0] in {one["id"] for one in listed(history)}
    _rename(history)
    history.check_all()


def test_what_is_noted_meanwhile_that_only_a_newer_program_knows_ends_it(history: History) -> None:
    """Else what that says of the old one is lost with it."""
    olds = _staged(history)

    def note() -> None:
        now_ns = history.bench.clock.now_ns()
        write_note(history.records(), Note(now_ns, bytes(16), bytes.fromhex(olds[0][1:]), "new", ""))

    done = _purge(history, _at("write snapshot 3 of 3 anew", note))
    assert done.error is not None
    assert "not known here" in done.error["message"]
    assert set(olds) <= {one["id"] for one in listed(history)}
