"""`check --repair` without any other copy: what the source files still have comes back from them, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backupd.block.layout import DATA
from backupd.model.orders import CheckOrder
from tests.support.damaging import blocks_of
from tests.support.histories import History


def _history(above: Path, **options: Any) -> History:
    """A file of one chunk, one of several, one whose list of chunks is a tree, one with a hole."""
    history = History(above, 8)
    source, draw = history.bench.source, history.random.randbytes
    for name, size in (("small", 9_000), ("some", 500_000), ("many", 6_000_000)):
        history.bench.write(name, draw(size))
    with (source / "holes").open("wb") as file:
        file.truncate(3_000_000)
        file.seek(1 << 20)
        file.write(draw(400_000))
    (run,) = history.bench.back_up(**options).result["runs"]
    history.note(run["snapshot"])
    return history


def _repair(history: History) -> tuple[int, dict[str, Any]]:
    done = history.bench.machine.run(CheckOrder(place=str(history.bench.place), repair=True), history.bench.clock).done
    return done.exit_code, done.result


@pytest.mark.parametrize("deduplication", ["set", "path", pytest.param("off", marks=pytest.mark.nightly)])
def test_unchanged_files_give_all_back(tmp_path: Path, deduplication: str) -> None:
    """Else a lost block costs the version of last night, though every byte of it lies on this machine."""
    history = _history(tmp_path, deduplication=deduplication)
    for path in blocks_of(history.bench.place, DATA):
        path.unlink()
    exit_code, result = _repair(history)
    assert (exit_code, result["problems"], result["files_hit"], result["decisions"]) == (0, [], [], [])
    assert result["statistics"]["agree"]
    (source,) = result["healed"]["sources"]
    assert source["place"] == "source files"
    assert {Path(one["path"]).name for one in result["healed"]["healed_files"]} == {"small", "some", "many", "holes"}
    history.check_all()


def test_a_file_that_only_looks_unchanged_gives_nothing_wrong(tmp_path: Path) -> None:
    """Same size, same time, other bytes: what is stored for the old ones would be a restore of wrong bytes."""
    history = _history(tmp_path)
    source = history.bench.source
    for path in blocks_of(history.bench.place, DATA):
        path.unlink()
    before = (source / "some").stat()
    data = bytearray((source / "some").read_bytes())
    data[250_000:250_004] = b"look"
    (source / "some").write_bytes(data)
    os.utime(source / "some", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(source / "small", (1, 1))
    (source / "holes").unlink()
    (source / "holes").symlink_to("many")
    exit_code, result = _repair(history)
    assert exit_code == 20
    assert {Path(one["path"]).name for one in result["files_hit"]} == {"some", "small", "holes"}
    assert {Path(one["path"]).name for one in result["healed"]["healed_files"]} == {"many"}
    # All but the piece that was changed was taken over, so the next backup has little to store.
    assert result["decisions"][0]["damaged_items"] < 8
