"""The composition root: which operation carries out which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backupd.model import events, orders
from backupd.operations import (
    info,
    integrity_check,
    keys,
    restore,
    snapshot_browsing,
    snapshot_diff,
    snapshot_versions,
    snapshots,
)
from backupd.operations.backup import running
from backupd.operations.context import JobContext

_OPERATIONS: dict[type[orders.Order], Callable[[Any, JobContext], events.Done]] = {
    orders.BackupOrder: running.run,
    orders.RestoreOrder: restore.run,
    orders.CheckOrder: integrity_check.run,
    orders.SnapshotListOrder: snapshots.run_list,
    orders.SnapshotShowOrder: snapshots.run_show,
    orders.SnapshotLsOrder: snapshot_browsing.run_ls,
    orders.SnapshotDiffOrder: snapshot_diff.run,
    orders.SnapshotCatOrder: snapshot_browsing.run_cat,
    orders.SnapshotVersionsOrder: snapshot_versions.run,
    orders.KeyOrder: keys.run,
    orders.InfoOrder: info.run,
}


def run(order: orders.Order, context: JobContext) -> events.Done:
    """Carry out an order. Raises BackupError."""
    return _OPERATIONS[type(order)](order, context)
