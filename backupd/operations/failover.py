"""The one member of a failover pool that is stored to: each member's copy of a repository stands by itself."""

from __future__ import annotations

from backupd.destination.contract import Opening
from backupd.destination.pool.opening import chosen_member
from backupd.model.places import inside, pool_place
from backupd.model.store_access import StoreAccess
from backupd.operations.context import JobContext
from backupd.operations.places import split_place


def on_one_member(address: str, access: StoreAccess, context: JobContext, *, create: bool) -> str:
    """The address of the first member that is there, told where it is not the first; all other places as they are.

    Its caches and lists are kept apart from those of the others: what one member has is never taken to be at another.
    Raises DestinationError where none is there.
    """
    pool = access.pool
    if pool is None or pool.kind != "failover":
        return address
    place, repository = split_place(address)
    member, passed = chosen_member(Opening(place, "chooser", access, create=create, meter=context.meters.of(place)))
    if passed:
        context.warn(f"pool {pool.name}: this run goes to {member.name}: {'; '.join(one.message for one in passed)}")
    chosen = pool_place(place.removeprefix(pool_place("")), member.id)
    return inside(chosen, repository) if repository else chosen
