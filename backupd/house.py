"""The composition root: which operation carries out which order.

The one lazy loader: a job loads its own operation and none of the others, which saves each command some time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from backupd.errors import NotFoundError
from backupd.model import (
    command_orders,
    config_orders,
    destination_orders,
    events,
    explain_order,
    fs_snapshots,
    notice_orders,
    orders,
    purge_orders,
    search_orders,
    watch_orders,
)
from backupd.operations import cache_place, rollback_alarm, temporary, traffic
from backupd.operations.context import JobContext

Operation = Callable[[Any, JobContext], events.Done]
"""Takes an order of its own type. Raises BackupError."""

OPERATIONS: dict[type[orders.Order], str] = {
    orders.BackupOrder: "backupd.operations.backup.running:run",
    orders.RestoreOrder: "backupd.operations.restore:run",
    orders.CheckOrder: "backupd.operations.integrity_check:run",
    orders.FreeOrder: "backupd.operations.freeing:run",
    orders.MigrateOrder: "backupd.operations.migrate:run",
    purge_orders.PurgeOrder: "backupd.operations.purge:run",
    orders.ReplicateOrder: "backupd.operations.replicate:run",
    orders.DecryptOrder: "backupd.operations.decrypt:run",
    orders.SnapshotListOrder: "backupd.operations.snapshots:run_list",
    orders.SnapshotShowOrder: "backupd.operations.snapshots:run_show",
    orders.SnapshotLsOrder: "backupd.operations.snapshot_browsing:run_ls",
    orders.SnapshotDiffOrder: "backupd.operations.snapshot_diff:run",
    orders.SnapshotCatOrder: "backupd.operations.snapshot_browsing:run_cat",
    orders.SnapshotVersionsOrder: "backupd.operations.snapshot_versions:run",
    orders.SnapshotNoteOrder: "backupd.operations.snapshot_notes:run",
    orders.RetentionOrder: "backupd.operations.retention:run",
    orders.KeyOrder: "backupd.operations.keys:run",
    orders.InfoOrder: "backupd.operations.info:run",
    destination_orders.DestinationProbeOrder: "backupd.operations.destination_probe:run",
    destination_orders.DestinationTestOrder: "backupd.operations.destination_test:run",
    destination_orders.DestinationHealOrder: "backupd.operations.destination_heal:run",
    destination_orders.ProxyTestOrder: "backupd.operations.proxy_test:run",
    destination_orders.DestinationUncoverOrder: "backupd.operations.destination_uncover:run",
    destination_orders.DestinationSessionsOrder: "backupd.operations.destination_sessions:run",
    destination_orders.DestinationAdoptOrder: "backupd.operations.destination_adopt:run",
    watch_orders.WatchOrder: "backupd.operations.watching:run",
    config_orders.ConfigCheckOrder: "backupd.operations.config_check:run",
    explain_order.ExplainOrder: "backupd.operations.explain:run",
    search_orders.SuggestOrder: "backupd.operations.suggest:run",
    search_orders.CoverageOrder: "backupd.operations.coverage:run",
    notice_orders.NoticeOrder: "backupd.operations.notices.running:run",
    notice_orders.AppriseOrder: "backupd.operations.notices.by_apprise:run",
    notice_orders.CertificateOrder: "backupd.operations.notices.certificates:run",
    command_orders.CommandOrder: "backupd.operations.commands.running:run",
    fs_snapshots.FsSnapshotOrder: "backupd.operations.fs_snapshots.running:run",
}
"""Module and function of the operation for each order."""


def operation_for(order: orders.Order) -> Operation:
    """What carries an order out, loaded."""
    module, _, function = OPERATIONS[type(order)].partition(":")
    operation = cast(Operation, getattr(importlib.import_module(module), function))

    def carry_out(order: orders.Order, context: JobContext) -> events.Done:
        try:
            with traffic.logged(order, context), temporary.chosen(order, context), cache_place.chosen(order, context):
                return traffic.added(rollback_alarm.sound(operation(order, context), context), order, context)
        except NotFoundError as error:
            # It is gone, not mistyped.
            raise context.alarm or error from error

    return carry_out


def run(order: orders.Order, context: JobContext) -> events.Done:
    """Carry out an order. Raises BackupError."""
    return operation_for(order)(order, context)
