"""What a job's places cost it (model.traffic), and where that is told.

Backups, restores, checks and replications tell it: in the result at each place, or with the error, and in the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from backupd.model import events
from backupd.model.orders import BackupOrder, CheckOrder, FreeOrder, Order, ReplicateOrder, RestoreOrder
from backupd.model.purge_orders import PurgeOrder
from backupd.model.store_access import StoreAccess
from backupd.model.traffic import Traffic
from backupd.operations.context import JobContext


@contextmanager
def logged(order: Order, context: JobContext) -> Iterator[None]:
    """Write into the log, when the block is over, what each of the order's places cost."""
    try:
        yield
    finally:
        places = _places(order)
        for (address, access), traffic in zip(places, at_places(order, context), strict=True):
            if traffic != Traffic():
                name = access.pool.name if access.pool is not None else address
                sentence = traffic.sentence()
                text = f"{name}: {sentence}" if len(places) > 1 else sentence[0].upper() + sentence[1:]
                context.tell("information", text, verbosity=1)


def at_places(order: Order, context: JobContext) -> list[Traffic]:
    """What each place of an order cost so far, in its order; nothing of an order whose costs are not told."""
    return [context.meters.of(address).read() for address, _ in _places(order)]


def added(done: events.Done, order: Order, context: JobContext) -> events.Done:
    """The end of a job, with what its places cost in the result."""
    told = [msgspec.to_builtins(traffic) for traffic in at_places(order, context)]
    result = _with(done.result, order, told)
    return msgspec.structs.replace(done, result=result)


def _with(result: dict[str, Any], order: Order, told: list[dict[str, Any]]) -> dict[str, Any]:
    match order:
        case BackupOrder():
            return {**result, "runs": [_run_with(run, told) for run in result["runs"]]}
        case ReplicateOrder():
            return {**result, "traffic": {"from": told[0], "to": told[1]}}
        case RestoreOrder() | CheckOrder() | FreeOrder() | PurgeOrder():
            return {**result, "traffic": told[0]}
    return result


def _run_with(run: dict[str, Any], told: list[dict[str, Any]]) -> dict[str, Any]:
    # A dry run names no destinations.
    pairs = zip(run["destinations"], told, strict=False)
    return {**run, "destinations": [{**entry, "traffic": traffic} for entry, traffic in pairs]}


def _places(order: Order) -> list[tuple[str, StoreAccess]]:
    match order:
        case BackupOrder():
            return [(order.place, order.access), *((one.place, one.access) for one in order.also)]
        case ReplicateOrder():
            return [(order.place, order.access), (order.to, order.to_access)]
        case CheckOrder():
            return [(order.place, order.access), *((one.place, one.access) for one in order.siblings)]
        case RestoreOrder() | FreeOrder() | PurgeOrder():
            return [(order.place, order.access)]
    return []
