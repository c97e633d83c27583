"""Rules for files that change, vanish or can't be read; far fewer files than there were (FEATURES 2.9; issue 8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backupd.model.tolerance import ToleranceText
from tests.support.backing_up import Bench, problems, run_of
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
        outcome = bench.back_up(tolerate=texts)
        found = run_of(outcome)["problems"]
        names = sorted(Path(one["path"]).name for one in problems(outcome))
        return [outcome.done.exit_code, names, found["kinds"], found["flagged"], found["tolerated"]]

    def run(*rules: dict[str, Any]) -> Any:
        return run_without_override(lambda: back_up(*rules))

    assert run() == [3, ["a", "b", "c", "closed", "else"], {"unreadable": 5}, 0, {}]
    cache = {"path": "cache", "unreadable": "ok"}
    flagged = {"below": f"{bench.source}/flagged", "unreadable": "warn"}
    assert run(cache, flagged) == [3, ["c", "closed", "else"], {"unreadable": 3}, 1, {"unreadable": 2}]
    rest = {"unreadable": "ok"}
    assert run(cache, flagged, rest) == [0, ["c"], {"unreadable": 1}, 1, {"unreadable": 4}]
    strict = {"path": "a", "unreadable": "fail"}
    assert run(strict, cache, rest) == [3, ["a"], {"unreadable": 1}, 0, {"unreadable": 4}]
    assert run({"changed": "ok"}, {"vanished": "ok"})[0] == 3
