"""A check counts what the areas of a set hold, as a freeing does, and says whether that is what was counted before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backupd.block.layout import DATA
from backupd.model.orders import CheckOrder
from tests.support.damaging import blocks_of
from tests.support.histories import History, tree_of

_MIB = 1 << 20


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    """Versions that change, go, and are twice; a file of many chunks; attributes and trees that runs share."""
    history = History(tmp_path, 47)
    history.back_up({"a": 1000, "b": 2 * _MIB, "large": 6 * _MIB, "same/one": 300_000, "same/two": 10})
    (history.bench.source / "copy").write_bytes((history.bench.source / "same" / "one").read_bytes())
    (history.bench.source / "text").write_bytes(b"all the same words again and again. " * 20_000)
    history.back_up({"a": 1100})
    history.remove("text")
    history.back_up({"b": 2 * _MIB, "new": 10_000})
    return history


def _check(history: History, **more: Any) -> dict[str, Any]:
    result = history.bench.machine.run(CheckOrder(place=str(history.bench.place), **more), history.bench.clock).done
    return dict(result.result)


def _areas(told: dict[str, Any]) -> dict[str, Any]:
    (one,) = told["sets"]
    return {name: one[name] for name in ("set", "set_id", "snapshot", "data", "retention")}


def _logged(history: History) -> list[str]:
    folder = history.bench.machine.home / "state" / "backupd" / "checks"
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [line for line in newest.read_text().splitlines() if "areas of" in line]


def test_a_check_and_a_freeing_count_the_same(history: History) -> None:
    """Two figures for one thing, and nobody trusts either."""
    first = _check(history)["areas"]
    now = tree_of(history.bench.source)
    (one,) = first["sets"]
    assert (one["before"], one["agree"], first["before_as_of"]) == (None, None, None)
    assert (one["data"]["files"], one["data"]["source_bytes"]) == (len(now), sum(map(len, now.values())))
    assert one["retention"]["files"] == 3
    # Nothing was dropped, so each byte is somebody's.
    stored = one["data"]["stored_bytes"] + one["retention"]["stored_bytes"]
    assert stored == first["stored_bytes"] == history.bench.stored_bytes()
    assert "not counted before" in _logged(history)[0]
    freed = history.free()["statistics"]
    assert (_areas(freed), freed["of"]) == (_areas(first), first["of"])
    again = _check(history, crc=True)["areas"]
    (one,) = again["sets"]
    assert (one["agree"], again["before_as_of"]) == (True, freed["as_of"])
    assert one["before"] == {name: one[name] for name in ("data", "retention")}
    [line] = _logged(history)
    assert line.startswith("information areas of ")
    assert line.endswith(": right")


def test_figures_that_are_wrong_are_told_and_replaced(history: History) -> None:
    """What a fault of ours once counted wrongly would be shown for ever."""
    _check(history)
    (kept,) = (history.bench.machine.home / "cache").rglob("areas.json")
    figures = json.loads(kept.read_bytes())
    right = figures["sets"][0]["retention"]["plain_bytes"]
    figures["sets"][0]["retention"]["plain_bytes"] += 1
    kept.write_bytes(json.dumps(figures).encode())
    (one,) = _check(history)["areas"]["sets"]
    assert (one["agree"], one["before"]["retention"]["plain_bytes"]) == (False, right + 1)
    assert one["retention"]["plain_bytes"] == right
    [line] = _logged(history)
    assert line.startswith("warning ")
    assert line.endswith(": wrong")
    assert _check(history)["areas"]["sets"][0]["agree"] is True
    history.back_up({"a": 1300})
    (one,) = _check(history)["areas"]["sets"]
    assert (one["agree"], one["before"]["retention"]["plain_bytes"]) == (None, right)
    assert _logged(history)[0].endswith("snapshots came or went since")


def test_what_can_not_be_counted_is_not(history: History) -> None:
    """A part of it, told as all, would look as if space had come back."""
    blocks_of(history.bench.place, DATA)[0].unlink()
    assert _check(history)["areas"] is None
    assert _check(history, blocks_only=True)["areas"] is None
