"""Migration of older snapshots: cut and named as the set wants it now, from what is stored, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backupd.model import events
from backupd.model.orders import MigrateOrder, SnapshotListOrder
from backupd.sizes import KIB, MIB
from tests.support.backing_up import read_bytes, run_of
from tests.support.histories import History

_COARSE, _FINE = 1 << 20, 16 << 10


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 41)


def _order(history: History, **options: Any) -> MigrateOrder:
    (set_id,) = {name.set_id for name in history.records().snapshot_names()}
    order: MigrateOrder = MigrateOrder(place=str(history.bench.place), set_id=set_id, **options)
    return order


def _migrate_as_told(history: History, **options: Any) -> events.Done:
    history.bench.clock.ahead_seconds += 120
    return history.bench.machine.run(_order(history, **options), history.bench.clock).done


def _migrate(history: History, **options: Any) -> dict[str, Any]:
    """What it says of the history."""
    done = _migrate_as_told(history, **options)
    assert done.exit_code == 0, done
    assert done.result is not None
    found: dict[str, Any] = done.result["history"]
    return found


def _back_up(history: History, **options: Any) -> str:
    snapshot = str(run_of(history.bench.back_up(**options))["snapshot"])
    history.note(snapshot)
    return snapshot


def _live_through(history: History, count: int = 5, **options: Any) -> list[str]:
    """Snapshots, the oldest first: a large file changes in a few places each time, another one goes, a third one stays."""
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
        snapshots.append(_back_up(history, **options))
    return snapshots


def _rename(history: History, found: dict[str, Any]) -> None:
    """What the old ones held, the new ones hold."""
    for one in found["rewritten"]:
        history.trees[one["new"]] = history.trees.pop(one["old"])


def _listed(history: History) -> list[dict[str, Any]]:
    place = str(history.bench.place)
    found: list[dict[str, Any]] = history.bench.machine.run(SnapshotListOrder(place=place)).result["snapshots"]
    return found


def test_old_snapshots_get_the_new_chunk_size_and_hold_what_they_held(history: History) -> None:
    """Else a chunk size that was chosen late makes the repository larger for ever."""
    old = _live_through(history, chunk_size_bytes=_COARSE)
    before = {one["id"]: one for one in _listed(history)}
    newest = _back_up(history, chunk_size_bytes=_FINE, migrate=True)
    said = _migrate(history, chunk_size_bytes=_FINE, dry_run=True)
    done = _migrate(history, chunk_size_bytes=_FINE)
    assert done["planned"] == said["planned"]
    assert said["planned"]["snapshots"] == 5
    assert said["planned"]["files"] == 5 + 1 + 5
    assert done["read_bytes"] == said["planned"]["bytes"] == 5 * 6 * MIB + 2 * MIB + 5 * 300_000
    assert done["stored_bytes"] < 6 * MIB
    assert [one["old"] for one in done["rewritten"]] == old[::-1]
    assert done["left"] == []
    _rename(history, done)
    new = {one["new"]: one["old"] for one in done["rewritten"]}
    for one in _listed(history):
        if one["id"] != newest:
            was = before[new[one["id"]]]
            assert {**one, "id": was["id"], "short": was["short"]} == was
    history.check_all()
    stored = history.bench.stored_bytes()
    history.free()
    assert history.bench.stored_bytes() < stored - 25 * MIB
    assert history.bench.stored_bytes() < 13 * MIB
    history.check_all()
    again = _migrate(history, chunk_size_bytes=_FINE)
    assert (again["planned"]["snapshots"], again["rewritten"], again["read_bytes"]) == (0, [], 0)
    kept = history.bench.back_up(chunk_size_bytes=_FINE, migrate=True)
    history.note(run_of(kept)["snapshot"])
    assert read_bytes(kept) == 0
    history.check_all()


@pytest.mark.parametrize(("before", "after"), [("path", "set"), ("set", "repository"), ("off", "path")])
def test_old_snapshots_get_the_new_scope(history: History, before: str, after: str) -> None:
    """Else what is shared is stored twice for as long as old snapshots are kept."""
    twice = history.random.randbytes(900 * KIB)
    history.bench.write("a/one", twice)
    history.bench.write("b/one", twice)
    _live_through(history, 2, deduplication=before)
    _back_up(history, deduplication=after, migrate=True)
    done = _migrate(history, deduplication=after)
    assert len(done["rewritten"]) == 2
    _rename(history, done)
    history.free()
    history.check_all()
    assert _migrate(history, deduplication=after)["planned"]["snapshots"] == 0
