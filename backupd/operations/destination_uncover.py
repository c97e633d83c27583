"""`destination uncover`: after an attack, what a store with versions still has is brought back to light."""

from __future__ import annotations

import os
from collections import Counter

from backupd.destination.contract import Forwarding, Uncovered
from backupd.errors import UsageError
from backupd.model import events
from backupd.model.destination_orders import DestinationUncoverOrder
from backupd.operations.context import JobContext
from backupd.operations.places import split_place

_FIRST = 100


def run(order: DestinationUncoverOrder, context: JobContext) -> events.Done:
    """Bring back the first version of each object. Raises UsageError where no versions are kept, DestinationError."""
    address, _ = split_place(order.place)
    store = context.open_store(address, f"uncover-{os.urandom(8).hex()}", order.access)
    try:
        if not Forwarding(store).keeping().versions:
            raise UsageError(
                f"{store.shown} keeps no earlier versions, or the login may not ask",
                hint="what was deleted there comes from another destination: bkctl destination replicate",
            )
        counts: Counter[str] = Counter()
        first: list[Uncovered] = []
        size_bytes = 0
        context.step("look at the versions of all objects")
        for one in Forwarding(store).uncover(is_dry=order.dry_run):
            context.cancel.check()
            counts[one.how] += 1
            size_bytes += one.size_bytes
            context.tell("information", f"{one.name}: was {one.how}", verbosity=1)
            if len(first) < _FIRST:
                first.append(one)
    finally:
        store.close()
    result: dict[str, object] = {
        "changed": bool(counts) and not order.dry_run,
        "diff": {},
        "dry_run": order.dry_run,
        "place": order.place,
        "hidden": counts["hidden"],
        "overwritten": counts["overwritten"],
        "bytes": size_bytes,
        "first": [{"name": one.name, "how": one.how} for one in first],
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)
