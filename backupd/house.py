"""The composition root: which operation carries out which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backupd.model import events, orders
from backupd.operations.backup import running
from backupd.operations.context import JobContext

_OPERATIONS: dict[type[orders.Order], Callable[[Any, JobContext], events.Done]] = {
    orders.BackupOrder: running.run,
}


def run(order: orders.Order, context: JobContext) -> events.Done:
    """Carry out an order. Raises BackupError."""
    return _OPERATIONS[type(order)](order, context)
