"""While a freeing deletes: what it tells, what it counts, and what it does not fail by."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd import house
from backupd.block.layout import block_name
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.destination.contract import Traits
from backupd.destination.local import LocalDestination
from backupd.errors import CancelledError
from backupd.model import events
from backupd.model.orders import FreeOrder
from backupd.operations.context import JobContext
from backupd.operations.freeing.deleting import Deleting
from backupd.operations.freeing.index_tidying import tidy_index
from backupd.operations.freeing.locked import LockedBlocks
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace, open_place
from backupd.settings import directories
from tests.support.histories import History

_BLOCKS = [bytes([number]) * 32 for number in range(40)]


class Freeing:
    """At a place with blocks that nobody needs, of ten bytes each."""

    def __init__(self, history: History) -> None:
        self.history, self.cancel, self.events = history, Cancel(), list[events.FromJob]()
        found = directories.find(history.bench.machine.environ)
        environ = history.bench.machine.environ
        self.context = JobContext(history.order(), SystemClock(), self.cancel, environ, found, self.events.append)
        self.place: OpenPlace = open_place(self.context)
        for block_id in _BLOCKS:
            self.place.records.place.put(block_name(block_id), [bytes(10)])
        self.report = Report()

    def deleting(self, tick: Callable[[], None]) -> Deleting:
        """Of all of them, begun."""
        locks = LockedBlocks(self.context, self.place, self.report, tick)
        deleting = Deleting(self.context, self.place, self.report, locks, tick)
        deleting.begin(_BLOCKS, dict.fromkeys(_BLOCKS, 10), 0)
        return deleting

    def left(self) -> int:
        """How many lie there."""
        return sum(self.place.records.place.size(block_name(block_id)) is not None for block_id in _BLOCKS)


@pytest.fixture(name="freeing")
def _freeing(tmp_path: Path) -> Freeing:
    history = History(tmp_path, 71)
    history.back_up({"a": 1000})
    return Freeing(history)


def test_what_went_is_counted_though_it_was_stopped(freeing: Freeing) -> None:
    """A purge that is stopped tells how much it deleted: less than that is not true."""
    ticks = iter(range(len(_BLOCKS)))

    def tick() -> None:
        if next(ticks) == 4:
            freeing.cancel.request(CancelledError("stopped by a test"))
        freeing.cancel.check()

    deleting = freeing.deleting(tick)
    with pytest.raises(CancelledError):
        deleting.end()
    gone = len(_BLOCKS) - freeing.left()
    assert (freeing.report.deleted_blocks, freeing.report.deleted_bytes) == (gone, 10 * gone)
    assert gone >= 5
    deleting.stop()
    assert freeing.report.deleted_blocks == gone


def test_what_went_is_counted_where_another_failure_ended_it(freeing: Freeing) -> None:
    deleting = freeing.deleting(lambda: None)
    deleting.stop()
    assert freeing.report.deleted_blocks == len(_BLOCKS) - freeing.left()


def test_it_is_counted_while_something_else_is_done(freeing: Freeing) -> None:
    """Else nothing moves for whoever watches, as long as the index is tidied up."""
    deleting, end = freeing.deleting(lambda: None), time.monotonic() + 30
    while freeing.report.deleted_blocks < len(_BLOCKS) and time.monotonic() < end:
        deleting.note_ended()
    assert freeing.report.deleted_blocks == len(_BLOCKS)
    assert not deleting.is_under_way
    deleting.end()
    assert freeing.report.deleted_blocks == len(_BLOCKS)


def test_it_says_that_it_goes_on_deleting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is told to tidy up the index for as long as a slow store takes to delete."""
    history = History(tmp_path, 72)
    first = history.back_up({"gone": 3 << 20, "stays": 1000})
    history.remove("gone")
    history.back_up({"b": 1000})
    history.drop(first)
    traits = Traits(create_if_absent=True, parallel_calls=False, reports_space=True)
    monkeypatch.setattr(LocalDestination, "traits", property(lambda _: traits))
    machine, sent = history.bench.machine, list[events.FromJob]()
    order = FreeOrder(place=str(history.bench.place))
    context = JobContext(
        order, history.bench.clock, Cancel(), machine.environ, directories.find(machine.environ), sent.append
    )
    assert house.run(order, context).result["deleted"]["blocks"] >= 1
    steps = [event.name for event in sent if isinstance(event, events.Step)]
    assert steps[-2:] == ["tidy up the index", "delete blocks that nobody needs"]


def test_an_index_that_cant_be_loaded_to_be_tidied_fails_nothing(freeing: Freeing) -> None:
    """All that is to be deleted is named by a closed list, and goes all the same."""
    (folder,) = freeing.history.bench.place.glob("r*/index")
    os.rename(folder, folder.with_name("elsewhere"))
    folder.write_bytes(b"no folder")
    deleting = freeing.deleting(lambda: None)
    tidy_index(freeing.context, freeing.place, freeing.report, lambda: None)
    (warning,) = freeing.context.warnings
    assert "the index was not tidied up" in warning
    assert "space is free" not in warning, "which is not so yet"
    deleting.end()
    assert freeing.left() == 0
