"""A paused job does nothing but stay alive, whatever it is about."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.errors import BackupError, CancelledError
from backupd.house import run
from backupd.model.events import Done, FromJob
from backupd.model.orders import BackupOrder, CheckOrder, Limits, Order, RestoreOrder, Selection
from backupd.operations.context import JobContext
from backupd.settings import directories
from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.machine import Machine


class Paused:
    """An order that is carried out on a thread, paused before it begins."""

    def __init__(self, machine: Machine, order: Order) -> None:
        self.cancel, self.events = Cancel(), list[FromJob]()
        found = directories.find(machine.environ)
        self.context = JobContext(order, SystemClock(), self.cancel, machine.environ, found, self.events.append)
        self.context.pause(is_paused=True)
        self.done: Done | None = None
        self.error: BackupError | None = None
        self._thread = threading.Thread(target=self._carry_out, args=(order,))
        self._thread.start()

    def _carry_out(self, order: Order) -> None:
        try:
            self.done = run(order, self.context)
        except BackupError as error:
            self.error = error

    def stands_still(self) -> bool:
        """Whether it has not ended after a while."""
        self._thread.join(0.8)
        return self._thread.is_alive()

    def end(self) -> Done:
        """Let it go on; what it came to."""
        self.context.pause(is_paused=False)
        self._thread.join(30)
        assert self.done is not None, self.error
        return self.done


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    source = tmp_path / "source"
    for number in range(300):
        (source / str(number % 7)).mkdir(parents=True, exist_ok=True)
        (source / str(number % 7) / str(number)).write_bytes(b"%d" % number * 1000)
    found = Machine(tmp_path / "home")
    found.home.mkdir()
    return found


def _backup(tmp_path: Path) -> BackupOrder:
    return BackupOrder(
        place=str(tmp_path / "place"), sources=[bytes(tmp_path / "source")], set_name="s", limits=Limits(polite=False)
    )


def test_a_paused_backup_stores_nothing_and_commits_nothing(machine: Machine, tmp_path: Path) -> None:
    """Else the line that was to be free is full all the same."""
    paused = Paused(machine, _backup(tmp_path))
    # It is announced, and has made a checkpoint.
    slow_set.wait_for(lambda: len(list(tmp_path.glob("place/*/sessions/*/*"))) == 2)
    assert paused.stands_still()
    assert not list(tmp_path.glob("place/*/snapshots/*/*"))
    assert paused.end().exit_code == 0
    assert len(list(tmp_path.glob("place/*/snapshots/*/*"))) == 1


def test_a_cancelled_pause_ends_at_once(machine: Machine, tmp_path: Path) -> None:
    paused = Paused(machine, _backup(tmp_path))
    assert paused.stands_still()
    began = time.monotonic()
    paused.cancel.request(CancelledError("cancelled"))
    while paused.done is None and time.monotonic() - began < 10:
        time.sleep(0.01)
    assert paused.done is not None
    assert paused.done.exit_code == 130
    assert paused.done.result["runs"][0]["snapshot"] is not None, "the partial one"


def test_a_paused_restore_goes_on_to_the_last_byte(machine: Machine, tmp_path: Path) -> None:
    """Else a pause would cost what was to be saved."""
    machine.run(_backup(tmp_path))
    order = RestoreOrder(place=str(tmp_path / "place"), selection=Selection(set_name="s"), to=bytes(tmp_path / "out"))
    paused = Paused(machine, order)
    assert paused.stands_still()
    assert paused.end().exit_code == 0
    assert compare_trees(tmp_path / "source", tmp_path / "out" / str(tmp_path / "source")[1:]) == []


def test_a_paused_check_goes_on(machine: Machine, tmp_path: Path) -> None:
    machine.run(_backup(tmp_path))
    paused = Paused(machine, CheckOrder(place=str(tmp_path / "place"), crc=True))
    assert paused.stands_still()
    assert paused.end().exit_code == 0
