"""`purge`: what is named goes for good, whatever the policy says, and all else gives back what it held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backupd.model.orders import SnapshotListOrder
from backupd.model.purge_orders import PurgeOrder
from tests.support.histories import History

_MIB = 1 << 20


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 11)


def purge(history: History, **options: Any) -> dict[str, Any]:
    """Ask for a plan, then carry just that out."""
    order = PurgeOrder(place=str(history.bench.place), dry_run=True, **options)
    machine, clock = history.bench.machine, history.bench.clock
    planned = machine.run(order, clock).result
    order = PurgeOrder(place=str(history.bench.place), plan=planned["plan"], **options)
    done = machine.run(order, clock).done
    assert done.exit_code == 0, done.error
    bare = [{**one, "paths": []} for one in planned["snapshots"]]
    assert done.result["snapshots"] == bare
    return {**done.result, "planned": planned}


def set_of(history: History) -> str:
    return str(snapshots(history)[0]["set"])


def snapshots(history: History) -> list[dict[str, Any]]:
    return list(history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"])


def test_all_of_a_set_goes_and_its_space_comes_back(history: History) -> None:
    history.back_up({"a": 2 * _MIB, "d/b": 50_000})
    history.back_up({"a": 2 * _MIB})
    before = history.bench.stored_bytes()
    purged = purge(history, set_names=[set_of(history)])
    assert purged["counts"] == {"dropped": 2, "rewritten": 0, "kept": 0, "files": 4}
    assert purged["planned"]["bytes"]["stored"] > 4 * _MIB
    assert purged["freed_bytes"] == before - history.bench.stored_bytes()
    assert history.bench.stored_bytes() == 0
    assert snapshots(history) == []


def test_a_path_goes_from_all_snapshots_and_all_else_stays(history: History) -> None:
    first = history.back_up({"secret": 2 * _MIB, "d/secret": 3 * _MIB, "d/stays": 40_000, "stays": _MIB})
    second = history.back_up({"secret": 2 * _MIB, "stays": _MIB})
    source = history.bench.source
    listed = {one["id"]: one for one in snapshots(history)}
    before = history.bench.stored_bytes()
    paths = [bytes(source / "secret"), bytes(source / "d" / "secret")]
    purged = purge(history, set_names=[listed[first]["set"]], paths=paths)
    assert purged["counts"]["rewritten"] == 2
    assert before - history.bench.stored_bytes() == purged["freed_bytes"] > 6.9 * _MIB
    new = snapshots(history)
    assert [one["time"] for one in new] == [listed[one]["time"] for one in (first, second)]
    for old, one in zip((first, second), new, strict=True):
        tree = history.trees.pop(old)
        history.trees[one["id"]] = {name: data for name, data in tree.items() if not name.endswith("secret")}
    history.check_all()
