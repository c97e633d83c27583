"""A place that loses or cuts what it said it has: no snapshot is made of it, and the next run stores it again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backupd.errors import DestinationError
from tests.support.backing_up import Bench


@contextmanager
def _struck(place: Path, strike: Callable[[Path], None]) -> Iterator[list[Path]]:
    """The first block that appears at the place is struck at once."""
    done: list[Path] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set() and not done:
            for path in place.glob("r*/blocks/*/*"):
                strike(path)
                done.append(path)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield done
    finally:
        is_over.set()
        watcher.join()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("strike", [Path.unlink, _cut], ids=["lost", "cut"])
def test_what_the_place_lost_before_the_commit_makes_no_snapshot(
    tmp_path: Path, strike: Callable[[Path], None]
) -> None:
    """Else a disk that swallows a write gives a run that says it is good, and a restore that finds nothing."""
    bench = Bench(tmp_path)
    for number in range(20):
        bench.write(f"folder/file{number}", os.urandom(200_000))
    with _struck(bench.place, strike) as struck, pytest.raises(DestinationError, match="missing or of another size"):
        bench.back_up()
    assert struck
    assert not list(bench.place.glob("r*/snapshots/*/*"))
    bench.back_up()
    assert bench.differences() == []
