"""Rules for files that change, vanish or can't be read; far fewer files than there were (FEATURES 2.9; issue 8)."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.model.orders import FurtherPlace, OwnRepository
from backupd.model.retention import RetentionText
from backupd.model.tolerance import ToleranceOrder, ToleranceText
from backupd.operations.backup.sudden_drop import is_sudden
from backupd.rules.live_files import LOOK, LiveFiles
from backupd.tree.entry import CHANGED
from tests.support.backing_up import Bench, problems, run_of
from tests.support.machine import Outcome
from tests.support.ordinary_user import run_without_override


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With an empty source."""
    return Bench(tmp_path)


@pytest.mark.root
def test_unreadable_files_go_by_rules(bench: Bench) -> None:
    """The first rule that matches and speaks of it decides; what none is about fails the run, as without rules."""
    for name in ("cache/a", "cache/b", "flagged/c", "closed/inside", "else"):
        bench.write(name, b"x")
    bench.write("open")
    for path in ("cache/a", "cache/b", "flagged/c", "closed", "else"):
        (bench.source / path).chmod(0)

    def back_up(*rules: dict[str, Any]) -> list[Any]:
        texts = [ToleranceText(**one) for one in rules]
        outcome = bench.back_up(tolerance=ToleranceOrder(rules=texts))
        found = run_of(outcome)["problems"]
        names = sorted(Path(one["path"]).name for one in problems(outcome))
        return [outcome.done.exit_code, names, found["kinds"], found["flagged"], found["tolerated"]]

    cache = {"path": "cache", "unreadable": "ok"}
    flagged = {"below": f"{bench.source}/flagged", "unreadable": "warn"}
    rest, strict = {"unreadable": "ok"}, {"path": "a", "unreadable": "fail"}
    others: list[dict[str, Any]] = [{"changed": "ok"}, {"vanished": "ok", "path": "a"}]
    cases = [[*others], [cache, flagged], [cache, flagged, rest], [strict, cache, rest]]
    assert run_without_override(lambda: [back_up(*rules) for rules in cases]) == [
        [3, ["a", "b", "c", "closed", "else"], {"unreadable": 5}, 0, {}],
        [3, ["c", "closed", "else"], {"unreadable": 3}, 1, {"unreadable": 2}],
        [0, ["c"], {"unreadable": 1}, 1, {"unreadable": 4}],
        [3, ["a"], {"unreadable": 1}, 0, {"unreadable": 4}],
    ]


def _make(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.write(f"d/{number}", b"x")


def _files(bench: Bench) -> list[int]:
    """Of the snapshots, oldest first."""
    records = bench.machine.records(str(bench.place))
    return [records.snapshot(name.name).file_count for name in records.snapshot_names()]


def test_names_are_looked_at_once_for_databases_and_these_are_warned_of_each_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file cache knows which stretches of directories had none, by which list of names; also by an older one."""
    for name in ("plain/a", "plain/b", "pg/PG_VERSION", "pg/base/1"):
        bench.write(name)
    (bench.source / "empty").mkdir()
    looked: list[bytes] = []
    look = LiveFiles.look

    def looking(self: LiveFiles, directory: bytes, names: list[bytes]) -> int:
        looked.extend(names)
        return look(self, directory, names)

    monkeypatch.setattr(LiveFiles, "look", looking)

    def back_up() -> tuple[set[bytes], bool]:
        looked.clear()
        outcome = bench.back_up()
        warned = any("(postgresql)" in one for one in outcome.done.warnings)
        return {name for name in looked if (bench.source / "plain" / os.fsdecode(name)).exists()}, warned

    assert back_up() == ({b"a", b"b"}, True)
    assert back_up() == (set(), True)
    # A newer list, whose answers are kept from the first run on, though nothing else changed.
    for module in ("backupd.operations.backup.walk", "backupd.rules.live_files"):
        monkeypatch.setattr(f"{module}.LOOK", LOOK + 1)
    assert back_up() == ({b"a", b"b"}, True)
    assert back_up() == (set(), True)
    bench.write("plain/sales.fdb")
    assert back_up() == ({b"a", b"b", b"sales.fdb"}, True)
    assert any("sales.fdb" in one for one in bench.back_up().done.warnings)


def test_far_fewer_files_are_told_and_the_snapshot_before_stays(bench: Bench) -> None:
    """A disk that is not mounted: the run says so once, and retention of one snapshot keeps both for a month."""
    retention = RetentionText(jobs=1)
    _make(bench, 220)
    bench.back_up(retention=retention)
    for number in range(215):
        (bench.source / f"d/{number}").unlink()
    outcome = bench.back_up(retention=retention)
    assert outcome.done.exit_code == 3
    assert outcome.done.error is not None
    assert outcome.done.error["code"] == "source.fewer_files"
    told = run_of(outcome)["fewer_files"]
    assert (told["before"], told["now"]) == (220, 5)
    assert [one for one in outcome.done.warnings if one.startswith("5 files where the last")]
    again = bench.back_up(retention=retention)
    assert (again.done.exit_code, "fewer_files" in run_of(again)) == (0, False)
    assert _files(bench) == [220, 5, 5]
    bench.clock.ahead_seconds += 31 * 86_400
    assert bench.back_up(retention=retention).done.exit_code == 0
    assert _files(bench) == [5]


def test_of_several_destinations_the_newest_snapshot_counts_wherever_it_lies(bench: Bench) -> None:
    """Two were away while a third one got more files: what most have is what the run goes on from."""
    own = OwnRepository(repository="r" + "7" * 32, adopts=True)
    names = ("one", "two", "three")
    places = {name: FurtherPlace(place=str(bench.above / name), own=own) for name in names}

    def back_up(*names: str) -> Outcome:
        bench.clock.ahead_seconds += 120
        also = [places[name] for name in names[1:]]
        order = bench.order(set_name="home", set_id=b"7" * 16, own=own, also=also)
        return bench.machine.run(msgspec.structs.replace(order, place=places[names[0]].place), bench.clock)

    _make(bench, 10)
    assert back_up(*names).done.exit_code == 0
    _make(bench, 220)
    assert back_up("three").done.exit_code == 0
    for number in range(215):
        (bench.source / f"d/{number}").unlink()
    outcome = back_up(*names)
    told = run_of(outcome)["fewer_files"]
    assert (told["before"], told["now"]) == (220, 5)
    assert outcome.done.exit_code == 4
    assert "fewer_files" not in run_of(back_up(*names))


@pytest.mark.parametrize(
    ("before", "now", "permille", "is_told"),
    [
        (220, 110, 500, True),
        (220, 111, 500, False),
        (150, 51, 500, False),  # Too few are gone to be sure of anything.
        (220, 120, 400, True),
        (220, 0, 0, False),
        (110, 0, 1000, True),
        (110, 220, 1, False),
    ],
)
def test_how_many_have_to_be_gone(before: int, now: int, permille: int, is_told: bool) -> None:
    assert is_sudden(before, now, permille) == is_told


def test_a_file_that_changes_while_it_is_read_goes_by_rules(bench: Bench) -> None:
    """Tolerated, the run ends well, and the entry is marked all the same."""
    path = bench.write("log", os.urandom(40 << 20))
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.002):
            with path.open("ab") as file:
                file.write(b"a line\n" * 50)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        rules = [ToleranceText(ends_with=["log"], changed="ok"), ToleranceText(path="gone", vanished="ok")]
        outcome = bench.back_up_now(tolerance=ToleranceOrder(rules=rules))
    finally:
        stop.set()
        thread.join()
    found = run_of(outcome)["problems"]
    assert (outcome.done.exit_code, found["count"], found["tolerated"]) == (0, 0, {"changed": 1})
    entry = bench.truth.entry(path)
    assert entry is not None
    assert entry.extra is not None
    assert entry.extra.state & CHANGED
    assert [one.message for one in outcome.log if "tolerance rule" in one.message] == [
        "nothing was met that the tolerance rule gone, vanished ok is about"
    ]


def test_files_that_vanish_before_they_are_read_go_by_rules(bench: Bench) -> None:
    """A large file keeps the only worker busy meanwhile."""
    bench.write("a", os.urandom(48 << 20))
    rules = [ToleranceText(below=f"{bench.source}/passing", vanished="ok")]
    vanished = 0
    for _ in range(5):
        for number in range(300):
            bench.write(f"passing/{number}", b"x" * 30_000)
        thread = threading.Thread(target=_unlink_once_it_runs, args=(bench,))
        thread.start()
        outcome = bench.back_up_now(tolerance=ToleranceOrder(rules=rules, drop_permille=0), no_cache=True)
        thread.join()
        found = run_of(outcome)["problems"]
        assert (outcome.done.exit_code, found["count"]) == (0, 0)
        vanished += found["tolerated"].get("vanished", 0)
        if vanished:
            break
    assert vanished, "no file vanished at the right moment in five runs"


def _unlink_once_it_runs(bench: Bench) -> None:
    before = len(list(bench.place.glob("r*/sessions/*")))
    end = time.monotonic() + 10
    while time.monotonic() < end and len(list(bench.place.glob("r*/sessions/*"))) <= before:
        time.sleep(0.002)
    time.sleep(0.05)
    for path in (bench.source / "passing").iterdir():
        path.unlink(missing_ok=True)
