"""State and caches are worth a full read at most: lost or damaged, nothing is missed and nothing is stored twice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import damaging
from tests.support.backing_up import Bench, counts, read_bytes, run_of
from tests.support.machine import Outcome

FILES = 40
FILE_BYTES = 30_000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Backed up twice, the second time with nothing to do."""
    found = Bench(tmp_path)
    for number in range(FILES):
        found.write(f"d{number % 5}/f{number:02}", os.urandom(FILE_BYTES))
    os.link(found.source / "d1/f01", found.source / "d3/link")
    found.back_up()
    assert read_bytes(found.back_up()) == 0
    return found


def everything_again(bench: Bench, *, warning: str = "") -> Outcome:
    """One run reads every file, counts each once, stores none again; the next one reads none."""
    before = bench.stored_bytes()
    outcome = bench.back_up()
    assert outcome.done.exit_code == 0
    assert read_bytes(outcome) == FILES * FILE_BYTES
    assert counts(outcome)["seen"] == FILES + 1
    assert counts(outcome)["new"] + counts(outcome)["same"] + counts(outcome)["changed"] == FILES + 1
    assert bench.stored_bytes() - before < 10_000
    assert any(warning in text for text in outcome.done.warnings) or not warning
    assert bench.truth.differences(bench.source) == []
    assert read_bytes(bench.back_up()) == 0
    return outcome


def files_below(bench: Bench, pattern: str) -> list[Path]:
    """Files of a kind in the home directory."""
    found = [path for path in bench.machine.home.glob(pattern) if path.is_file()]
    assert found
    return found


@pytest.mark.parametrize("folder", ["state", "cache"])
def test_lost_directories(bench: Bench, folder: str) -> None:
    """A new disk under /var: the next run reads all and goes on in the same set."""
    shutil.rmtree(bench.machine.home / folder)
    if folder == "cache":
        everything_again(bench)
    else:
        # Without the machine's id it would be another host's set, were it not for the name.
        outcome = bench.back_up()
        assert outcome.done.exit_code == 0
        assert run_of(outcome)["destinations"][0]["stored_bytes"] < FILES * FILE_BYTES * 1.02
        assert bench.truth.differences(bench.source) == []


def change_rows(path: Path) -> None:
    """Flip a byte among the first rows: the file opens, but what it says is wrong."""
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [damaging.flip(0.999), damaging.truncate(0.5), damaging.zero(0.0, 1.0), damaging.delete]
)
def test_damaged_file_cache(bench: Bench, damage: Callable[[Path], None]) -> None:
    """It is not trusted."""
    caches = files_below(bench, "cache/backupd/r*/*/files/*.cache")
    assert caches
    for path in caches:
        damage(path)
    everything_again(bench)


def test_file_cache_with_wrong_rows(bench: Bench) -> None:
    """Found in the middle of a run: that run begins again without it, and says so."""
    caches = files_below(bench, "cache/backupd/r*/*/files/*.cache")
    assert caches
    for path in caches:
        change_rows(path)
    everything_again(bench, warning="is damaged; every file is read again")


def test_file_cache_with_wrong_rows_and_a_changed_file(bench: Bench) -> None:
    """Part of the work was given out already when the damage is found."""
    for path in files_below(bench, "cache/backupd/r*/*/files/*.cache"):
        data = path.read_bytes()
        at = data.index(b"f39")
        path.write_bytes(data[:at] + b"g" + data[at + 1 :])
    for number in range(5):
        bench.write(f"d{number}/f0{number}", os.urandom(FILE_BYTES))
        bench.write(f"d{number}/new", b"")
    outcome = bench.back_up()
    assert counts(outcome)["seen"] == FILES + 6
    assert sum(counts(outcome)[kind] for kind in ("new", "same", "changed")) == FILES + 6
    assert bench.truth.differences(bench.source) == []
    assert read_bytes(bench.back_up()) == 0


def test_dry_run_over_a_damaged_file_cache(bench: Bench) -> None:
    """It only looks, so it only says that all would be read."""
    for path in files_below(bench, "cache/backupd/r*/*/files/*.cache"):
        change_rows(path)
    outcome = bench.back_up(dry_run=True)
    assert counts(outcome)["seen"] == FILES + 1


def test_a_cache_that_stood_in_goes(bench: Bench) -> None:
    """Else what was kept for a run, while its cache could not be in its place, lies in the state for ever."""
    usual = bench.machine.home / "cache"
    usual.rename(usual.with_name("away"))
    usual.touch()
    bench.back_up()
    assert files_below(bench, "state/backupd/cache/*/*/files/*.cache")
    usual.unlink()
    usual.with_name("away").rename(usual)
    bench.back_up()
    assert not [*bench.machine.home.glob("state/backupd/cache/*/*/files/*")]
    assert len(files_below(bench, "cache/backupd/*/*/files/*.cache")) == 1
    assert read_bytes(bench.back_up()) == 0


@pytest.mark.parametrize("damage", [damaging.flip(0.5), damaging.truncate(0.7), damaging.zero(0.0, 1.0)])
def test_damaged_index_tables(bench: Bench, damage: Callable[[Path], None]) -> None:
    """They are made anew of the index objects."""
    for path in files_below(bench, "cache/backupd/r*/*/index/*"):
        damage(path)
    bench.write("new", b"new")
    before = bench.stored_bytes()
    outcome = bench.back_up()
    assert (outcome.done.exit_code, bench.stored_bytes() - before < 10_000) == (0, True)
    # What is at the place is whole, as another machine sees it.
    shutil.rmtree(bench.machine.home / "cache")
    assert bench.truth.differences(bench.source) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, os.urandom(3000)])
def test_damaged_journal(bench: Bench, content: bytes) -> None:
    """What a run left that was killed while it wrote."""
    state = bench.machine.home / "state/backupd"
    (place,) = {path.parent.parent.name for path in files_below(bench, "cache/backupd/r*/*/files/*.cache")}
    set_id = run_of(bench.back_up())["set_id"][1:]
    journal = state / "journals" / f"{place}-{set_id}.journal"
    journal.parent.mkdir(exist_ok=True, mode=0o700)
    journal.write_bytes(content)
    bench.write("new", b"new")
    assert read_bytes(bench.back_up()) == 3
    assert bench.truth.differences(bench.source) == []
