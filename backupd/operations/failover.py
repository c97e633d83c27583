"""The one member of a failover pool that a run stores in: each member's copy of a repository stands by itself."""

from __future__ import annotations

import msgspec

from backupd.destination.contract import Opening
from backupd.destination.pool.opening import chosen_member
from backupd.model.orders import BackupOrder
from backupd.model.places import inside, pool_place
from backupd.operations.context import JobContext
from backupd.operations.places import split_place


def on_one_member(order: BackupOrder, context: JobContext) -> BackupOrder:
    """The order for the first member that is there, told where it is not the first; all other orders as they are.

    Its caches and lists are kept apart from those of the others: what one member has is never taken to be at another.
    Raises DestinationError where none is there.
    """
    pool = order.access.pool
    place, repository = split_place(order.place)
    if pool is None or pool.kind != "failover":
        return order
    opening = Opening(place, "chooser", order.access, create=not (order.existing or order.dry_run))
    member, passed = chosen_member(opening)
    if passed:
        context.warn(f"pool {pool.name}: this run goes to {member.name}: {'; '.join(one.message for one in passed)}")
    address = pool_place(place.removeprefix(pool_place("")), member.id)
    chosen = msgspec.structs.replace(order, place=inside(address, repository) if repository else address)
    context.order = chosen
    return chosen
