"""What nobody can give is given up within limits, else it waits for a decision (FEATURES 8.2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backupd.block.layout import DATA, TREE
from backupd.model.orders import CheckOrder, SiblingPlace, SnapshotListOrder
from tests.flow.test_repair import Pair
from tests.support import damaging
from tests.support.damaging import blocks_of
from tests.support.histories import History

_FILES = 30


def _history(above: Path) -> History:
    """One block with a small file among many, each run a block of its own."""
    history = History(above, 3)
    history.back_up({f"f{number}": 20_000 for number in range(_FILES)})
    history.back_up({"one more": 50_000})
    return history


def _check(history: History, **more: Any) -> tuple[int, dict[str, Any], dict[str, Any]]:
    order = CheckOrder(place=str(history.bench.place), **more)
    done = history.bench.machine.run(order, history.bench.clock).done
    return done.exit_code, done.result, done.error or {}


def _lose(history: History, *, largest: bool) -> None:
    """A block goes, and no source file gives it back."""
    for path in history.bench.source.iterdir():
        os.utime(path, (1, 1))
    blocks = blocks_of(history.bench.place, DATA)
    (blocks[0] if largest else blocks[-1]).unlink()


def _lost(history: History) -> list[int | None]:
    """Files that each snapshot is noted to have lost, the oldest first."""
    listed = history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"]
    return [one["lost"]["files"] if one["lost"] else None for one in listed]


def _set_name(history: History) -> str:
    listed = history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"]
    return str(listed[0]["set"])


def test_a_small_loss_is_given_up_and_noted_once(tmp_path: Path) -> None:
    """Else each bad sector waits for somebody; noted twice, the notes grow with every check."""
    history = _history(tmp_path)
    _lose(history, largest=False)
    exit_code, result, _ = _check(history)
    assert (exit_code, [one["state"] for one in result["decisions"]], result["given_up"]) == (20, ["found"], [])
    assert _lost(history) == [None, None]
    exit_code, result, _ = _check(history, repair=True)
    (decision,) = result["decisions"]
    assert (exit_code, decision["state"], decision["files"], decision["bytes"]) == (20, "given_up", 1, 50_000)
    assert (decision["of_files"], decision["snapshots"], decision["broken_blocks"]) == (_FILES + 1, 1, 1)
    assert decision["statistics_agree"] is False
    assert _lost(history) == [None, 1]
    notes = len(list(history.bench.place.glob("r*/notes/*")))
    (told,) = result["given_up"]
    exit_code, result, error = _check(history, repair=True)
    assert (exit_code, result["decisions"], result["given_up"]) == (20, [], [told]), "what is lost is not told any more"
    assert (told["files"], told["bytes"], told["snapshots"], len(told["newest"])) == (1, 50_000, 1, 1)
    assert "`bkctl once`" in error["hint"]
    assert len(list(history.bench.place.glob("r*/notes/*"))) == notes


def test_a_large_loss_waits_until_it_is_confirmed(tmp_path: Path) -> None:
    """Else a wrongly mounted disk is given up by the check of that night."""
    history = _history(tmp_path)
    _lose(history, largest=True)
    exit_code, result, error = _check(history, repair=True)
    (decision,) = result["decisions"]
    assert (exit_code, decision["state"], decision["files"], decision["snapshots"]) == (20, "waits", _FILES, 2)
    assert "needs a decision" in error["message"]
    assert decision["command"] in error["hint"]
    name = _set_name(history)
    assert f"--repair --confirm {name}" in decision["command"]
    assert _lost(history) == [None, None]
    assert _check(history, repair=True, confirmed="another")[1]["decisions"][0]["state"] == "waits"
    exit_code, result, _ = _check(history, repair=True, confirmed=name)
    assert (exit_code, result["decisions"][0]["state"]) == (20, "given_up")
    assert _lost(history) == [_FILES, _FILES]


def test_what_was_decided_is_carried_out_or_is_out_of_date(tmp_path: Path) -> None:
    """Else somebody agrees to lose one file, and another one is given up with it."""
    history = _history(tmp_path)
    _lose(history, largest=True)
    plan = _check(history)[1]["decisions"][0]["plan"]
    assert _check(history, repair=True)[1]["decisions"][0]["plan"] == plan
    blocks_of(history.bench.place, DATA)[-1].unlink()
    exit_code, result, error = _check(history, repair=True, decided=plan)
    assert (exit_code, error["code"]) == (17, "check.outdated")
    (decision,) = result["decisions"]
    assert decision["state"] == "waits"
    assert _lost(history) == [None, None]
    exit_code, result, _ = _check(history, repair=True, decided=decision["plan"])
    assert (exit_code, result["decisions"][0]["state"]) == (20, "given_up")
    assert _lost(history) == [_FILES, _FILES + 1]


def test_a_block_that_is_whole_again_is_not_given_up(tmp_path: Path) -> None:
    """A mirror that was mended: the record still names the block, and nobody read it again before deciding."""
    history = _history(tmp_path)
    for path in history.bench.source.iterdir():
        os.utime(path, (1, 1))
    victim = blocks_of(history.bench.place, DATA)[0]
    data = victim.read_bytes()
    damaging.flip(0.5)(victim)
    plan = _check(history, crc=True)[1]["decisions"][0]["plan"]
    victim.write_bytes(data)
    exit_code, result, _ = _check(history, repair=True, decided=plan)
    assert (exit_code, result["decisions"], result["files_hit"]) == (0, [], [])
    assert _lost(history) == [None, None]


def test_a_lost_directory_always_waits(tmp_path: Path) -> None:
    """How many files it held nobody can say."""
    history = _history(tmp_path)
    _lose(history, largest=False)
    for path in blocks_of(history.bench.place, TREE):
        path.unlink()
    (decision,) = _check(history, repair=True)[1]["decisions"]
    assert (decision["state"], decision["files"], decision["beyond_limits"]) == ("waits", 0, True)


def test_what_was_given_up_may_still_be_healed(tmp_path: Path) -> None:
    """Else a snapshot is called lost for ever, though the disk from the drawer had all of it."""
    pair = Pair(tmp_path).replicate()
    pair.damage(damaging.delete, DATA)
    for path in pair.bench.source.rglob("*"):
        os.utime(path, (1, 1))
    order = CheckOrder(place=str(pair.bench.place), repair=True, confirmed=_set_name(pair.history))
    assert pair.bench.machine.run(order, pair.bench.clock).done.exit_code == 20
    assert None not in _lost(pair.history)
    healing = CheckOrder(place=str(pair.bench.place), repair=True, siblings=[SiblingPlace(place=str(pair.sibling))])
    done = pair.bench.machine.run(healing, pair.bench.clock).done
    assert done.exit_code == 0
    healed = done.result["healed"]
    assert len(healed["healed_files"]) == healed["files"] > 0
    assert done.result["given_up"] == []
    assert _lost(pair.history) == [None, None]
    pair.history.check_all()


def test_logs_of_checks_stay_by_date(tmp_path: Path) -> None:
    """What a check found last year, when the store began to fail, is asked when it has failed."""
    history = _history(tmp_path)
    _check(history)
    _lose(history, largest=False)
    _check(history, repair=True)
    logs = sorted((history.bench.machine.home / "state" / "backupd" / "checks").iterdir())
    assert len(logs) == 2
    texts = [path.read_text() for path in logs]
    good = next(text for text in texts if "exit 0" in text)
    bad = next(text for text in texts if "exit 20" in text)
    assert "right" in good
    assert "error" not in good
    assert "statistics: recorded" in bad
    assert "wrong" in bad
    assert "one more" not in bad, "names of files have no place in it"
