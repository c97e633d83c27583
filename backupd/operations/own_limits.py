"""The limits of bandwidth that a job without a daemon was given: a table of its own, for it and its workers."""

from __future__ import annotations

import msgspec

from backupd.destination.pacing import PaceTable
from backupd.model.any_order import AnyOrder
from backupd.model.bandwidth import Direction
from backupd.model.orders import BackupOrder, CheckOrder, RestoreOrder
from backupd.model.places import is_url
from backupd.model.store_access import PaceGrant
from backupd.rules.bandwidth import told


def with_own_limits(order: AnyOrder) -> AnyOrder:
    """The order with its own limits as a pace, where it names some and no daemon keeps them. Raises StateFullError."""
    if not isinstance(order, BackupOrder | RestoreOrder | CheckOrder) or not is_url(order.place):
        return order
    own = (order.limits.upload_rate or 0, order.limits.download_rate or 0)
    if order.access.pace is not None or own == (0, 0):
        return order
    table = PaceTable()
    member = table.allocate()
    table.set_member(member, (0, 0), own)
    directions: tuple[Direction, Direction] = ("upload", "download")
    lines = [told(rate, way, f"--limit-{way}") for way, rate in zip(directions, own, strict=True) if rate]
    pace = PaceGrant(descriptor=table.descriptor, member=member, told=lines)
    return msgspec.structs.replace(order, access=msgspec.structs.replace(order.access, pace=pace))
