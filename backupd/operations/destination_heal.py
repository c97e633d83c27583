"""Brings the members of a pool to one state: what one lacks is copied to it from others (docs/stores/pool.md)."""

from __future__ import annotations

import os

from backupd.destination.contract import Opening
from backupd.destination.pool.healing import Healed, heal
from backupd.destination.pool.opening import assembled
from backupd.destination.pool.store import PoolId
from backupd.errors import UsageError
from backupd.model import events
from backupd.model.orders import DestinationHealOrder
from backupd.model.places import PlaceUrl, is_pool
from backupd.operations.context import JobContext

_PARTLY = 4
_EVERY = 200


def run(order: DestinationHealOrder, context: JobContext) -> events.Done:
    """Heal the pool. Exit 4 where a member could not be made whole. Raises UsageError, DestinationError."""
    pool = order.access.pool
    if pool is None or not is_pool(order.place):
        raise UsageError("only a pool is healed", hint="bkctl destination list shows which destination is one")
    called = PoolId(PlaceUrl.parse(order.place).host, pool.name, order.place)
    opening = Opening(order.place, f"heal-{os.urandom(8).hex()}", order.access, create=True)
    store = assembled(pool, called, opening, None)

    def tick(done: Healed) -> None:
        context.cancel.check()
        if done.objects % _EVERY == _EVERY - 1:
            context.tell("information", f"{done.objects} objects copied", verbosity=1)

    try:
        done = heal(store, tick)
    finally:
        store.close()
    for one in done.left:
        context.warn(f"{pool.name} is not whole: {one}")
    if done.stale:
        named = ", ".join(done.stale[:5])
        context.warn(f"{len(done.stale)} objects stay at a member although they were deleted at the lead: {named}")
    result: dict[str, object] = {
        "destination": pool.name,
        "whole": not done.left,
        "copied_objects": done.objects,
        "copied_bytes": done.bytes,
        "members": [{"name": one.name, "copied_objects": done.members.get(one.name, 0)} for one in pool.members],
    }
    return events.Done(exit_code=_PARTLY if done.left else 0, result=result, warnings=context.warnings)
