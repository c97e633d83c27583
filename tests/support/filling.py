"""A database that is filled in this process, from pieces that a test makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.events import FromJob
from backupd.model.orders import RestoreOrder, Selection
from backupd.model.streams import StreamOrder
from backupd.operations.context import JobContext
from backupd.operations.streams.filling import Filling, filling_of
from backupd.settings import directories
from tests.support.machine import Machine


def filling_below(
    folder: Path, order: StreamOrder, name: str, hear: Callable[[FromJob], None] = lambda _: None, owner: str = "name"
) -> tuple[Filling, JobContext]:
    """What fills the database, and the job that does; folder: for all that they put aside."""
    environ = Machine(folder / "machine").environ
    found = directories.find(environ)
    wished = RestoreOrder(place="", selection=Selection(), to=None)
    context = JobContext(wished, SystemClock(), Cancel(), environ, found, hear)
    return filling_of(order, name, context, str(folder), owner=owner), context
