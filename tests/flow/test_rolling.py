"""A share of the blocks a day, the oldest first: all of them come, and damage in any of them is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backupd.model.orders import CheckOrder
from tests.support import damaging
from tests.support.histories import History


def _check(history: History, permille: int | None, *, blocks_only: bool = True) -> tuple[int, dict[str, Any]]:
    order = CheckOrder(
        place=str(history.bench.place), crc=True, share_permille=permille, blocks_only=blocks_only
    )
    history.bench.clock.ahead_seconds += 60
    done = history.bench.machine.run(order, history.bench.clock).done
    return done.exit_code, done.result


def _history(above: Path) -> History:
    history = History(above, 4)
    for number in range(3):
        history.back_up({f"f{number}": 300_000})
    return history


def test_each_block_comes_and_damage_is_found_with_it(tmp_path: Path) -> None:
    """Else the share is read of the same blocks every night."""
    history = _history(tmp_path)
    covered = []
    for _ in range(12):
        exit_code, result = _check(history, 200)
        assert (exit_code, result["snapshots"]) == (0, 0)
        covered.append(result["coverage"]["verified_bytes"])
        if result["coverage"]["oldest"] is not None:
            break
    assert covered == sorted(set(covered)), "a night read nothing new"
    # Three blocks of a third each, and three small ones that come before or with any of them.
    assert 3 <= len(covered) <= 6
    total = result["coverage"]["total_bytes"]
    assert (covered[-1], result["coverage"]["never_bytes"]) == (total, 0)
    victim = max(history.bench.place.glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)
    damaging.flip(0.5)(victim)
    for _ in range(len(covered)):
        exit_code, result = _check(history, 200)
        if exit_code:
            break
    assert exit_code == 20
    assert any(victim.name in one["object"] for one in result["problems"])
    assert result["files_hit"], "where damage is found, it is told which files it hits"


def test_a_full_check_counts_and_a_lost_memory_begins_anew(tmp_path: Path) -> None:
    """Else a check by hand is read once more by night; or a lost state keeps blocks from being read."""
    history = _history(tmp_path)
    _, result = _check(history, None, blocks_only=False)
    coverage = result["coverage"]
    assert coverage["verified_bytes"] == coverage["total_bytes"] > 0
    (kept,) = (history.bench.machine.home / "state" / "backupd" / "verified").iterdir()
    damaging.flip(0.7)(kept)
    _, result = _check(history, 1)
    assert 0 < result["coverage"]["verified_bytes"] < coverage["total_bytes"]
