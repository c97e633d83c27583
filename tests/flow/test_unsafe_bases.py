"""A cache of unchanged files vouches for nothing that the place lost meanwhile: it is stored again, not just named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backupd.errors import DestinationError
from tests.support import damaging
from tests.support.backing_up import Bench, counts

_CONTENT_AT = 77
"""Where a block's header says what it holds."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A source that was backed up twice, so that its cache is trusted."""
    bench = Bench(tmp_path)
    for number in range(300):
        bench.write(f"folder{number % 7}/file{number}", bytes([number % 251]) * (100 + number))
    bench.write("large", bytes(range(256)) * 4096)
    bench.back_up()
    return bench


def _index(bench: Bench) -> list[Path]:
    return sorted(bench.place.glob("r*/index/*"))


def test_what_a_lost_index_object_named_is_stored_again(bench: Bench) -> None:
    """Without it no restore finds those chunks, though every run says that nothing changed."""
    for victim in _index(bench):
        victim.unlink()
    bench.back_up()
    assert bench.differences() == []


def test_what_a_damaged_index_object_named_is_stored_again(bench: Bench) -> None:
    """The host has to fetch it again, as after its index cache was cleared, and can't."""
    damaging.flip(0.5)(_index(bench)[0])
    for tables in (bench.machine.home).rglob("index"):
        shutil.rmtree(tables)
    bench.back_up()
    shutil.rmtree(bench.machine.home / "cache", ignore_errors=True)
    assert bench.differences() == []


def test_a_run_that_fails_does_not_forget_that_an_index_object_was_lost(bench: Bench) -> None:
    for victim in _index(bench):
        victim.unlink()
    temporary = next(bench.place.glob("r*/tmp"))
    temporary.rmdir()
    temporary.write_bytes(b"not a directory")
    with pytest.raises(DestinationError):
        bench.back_up()
    temporary.unlink()
    bench.back_up()
    assert bench.differences() == []


@pytest.mark.parametrize("kind", [1, 2], ids=["data", "tree"])
def test_what_a_check_found_bad_is_stored_again_though_no_file_changed(bench: Bench, kind: int) -> None:
    """Else a lost block stays lost, while every run says that nothing changed and all is well."""
    bench.write("random", os.urandom(200_000))
    bench.back_up()
    blocks = [path for path in bench.place.glob("r*/blocks/*/*") if path.read_bytes()[_CONTENT_AT] == kind]
    # Not in the list of chunks at the end.
    damaging.flip(0.2)(max(blocks, key=lambda path: path.stat().st_size))
    bench.back_up()
    found = bench.machine.json("check", "--from", bench.place, "--crc")
    assert found["exit"] == 20
    assert found["result"]["files_hit"], found["result"]
    assert not counts(bench.back_up())["changed"]
    assert bench.differences() == []
    # What an older snapshot has of its own can't come back.
    assert bench.machine.json("check", "--from", bench.place, "--crc")["exit"] == (0 if kind == 1 else 20)
