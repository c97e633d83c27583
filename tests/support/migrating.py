"""Histories that are cut or written anew: as they are told, and with something between two of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backupd.cancel import Cancel
from backupd.errors import StoppedError
from backupd.house import run
from backupd.model import events
from backupd.model.orders import MigrateOrder, Order, SnapshotListOrder
from backupd.operations.context import JobContext
from backupd.settings import directories
from tests.support.backing_up import run_of
from tests.support.histories import History

COARSE, FINE, FINEST = 1 << 20, 16 << 10, 8 << 10
"""Chunk sizes."""


def migrate_order(history: History, **options: Any) -> MigrateOrder:
    """To migrate the one set that is there."""
    (set_id,) = {name.set_id for name in history.records().snapshot_names()}
    order: MigrateOrder = MigrateOrder(place=str(history.bench.place), set_id=set_id, **options)
    return order


def migrate_as_told(history: History, **options: Any) -> events.Done:
    """What comes of it, error or not."""
    history.bench.clock.ahead_seconds += 120
    return history.bench.machine.run(migrate_order(history, **options), history.bench.clock).done


def migrate(history: History, **options: Any) -> dict[str, Any]:
    """The result of one that went well."""
    done = migrate_as_told(history, **options)
    assert done.exit_code == 0, done
    assert done.result is not None
    return done.result


class StopsAt(Cancel):
    """Something is done at the so-manieth question from when it is set; by default a stop is asked for."""

    checks_left: int | None = None

    def __init__(self, act: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._act = act

    def check(self) -> None:
        """Counts down."""
        if self.checks_left is not None:
            self.checks_left -= 1
            if self.checks_left <= 0:
                self.checks_left = None
                if self._act is None:
                    self.request(StoppedError("enough"))
                else:
                    self._act()
        super().check()


def migrate_here(
    history: History, hear: Callable[[str], None], cancel: Cancel | None = None, **options: Any
) -> events.Done:
    """In this very process. hear: is told of each step before it begins. Raises what ends it."""
    history.bench.clock.ahead_seconds += 120
    return run_here(history, migrate_order(history, **options), hear, cancel)


def run_here(history: History, order: Order, hear: Callable[[str], None], cancel: Cancel | None = None) -> events.Done:
    """An order in this very process. hear: is told of each step before it begins. Raises what ends it."""

    def tell(event: object) -> None:
        if isinstance(event, events.Step):
            hear(event.name)

    environ, clock = history.bench.machine.environ, history.bench.clock
    context = JobContext(order, clock, cancel or Cancel(), environ, directories.find(environ), tell)
    return run(order, context)


def back_up(history: History, **options: Any) -> str:
    """The id of a snapshot that is expected to stand from now on."""
    snapshot = str(run_of(history.bench.back_up(**options))["snapshot"])
    history.note(snapshot)
    return snapshot


def rename(history: History, found: dict[str, Any]) -> None:
    """What the old ones held, the new ones hold. found: what a migration says of the history."""
    for one in found["rewritten"]:
        history.trees[one["new"]] = history.trees.pop(one["old"])


def listed(history: History) -> list[dict[str, Any]]:
    """Snapshots as they are told."""
    place = str(history.bench.place)
    found: list[dict[str, Any]] = history.bench.machine.run(SnapshotListOrder(place=place)).result["snapshots"]
    return found


class Killed:
    """A migration of all but the newest snapshot that was killed before it dropped what it had written anew."""

    def __init__(self, history: History, **options: Any) -> None:
        place = history.bench.place
        before = {path: path.read_bytes() for path in place.glob("r*/snapshots/*/*")}
        drops = set(place.glob("r*/gc/drop-*"))
        blocks = set(place.glob("r*/blocks/*/*"))
        self.said = migrate(history, **options)["history"]
        """What it would have told."""
        self.blocks = set(place.glob("r*/blocks/*/*")) - blocks
        """That it stored."""
        for path in {*place.glob("r*/gc/drop-*")} - drops:
            path.unlink()
        for path, data in before.items():
            path.write_bytes(data)
