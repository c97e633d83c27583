"""All places that an order's job opens, with what opens each: the one list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from backupd.model.explain_order import ExplainOrder
from backupd.model.orders import BackupOrder, CheckOrder, Order, OwnRepository, ReplicateOrder
from backupd.model.search_orders import CoverageOrder, SuggestOrder
from backupd.model.store_access import StoreAccess

AnOrder = TypeVar("AnOrder", bound=Order)
Change = Callable[[str, StoreAccess], StoreAccess]
"""Gets a place and what opens it."""


def with_accesses(order: AnOrder, change: Change) -> AnOrder:
    """The order with what opens each of its places changed. change: gets the place and its access."""
    new: dict[str, object] = {"access": change(order.place, order.access)}
    if isinstance(order, BackupOrder):
        new["own"] = _with_copied(order.own, change) if order.own is not None else None
        new["also"] = [
            msgspec.structs.replace(one, access=change(one.place, one.access), own=_with_copied(one.own, change))
            for one in order.also
        ]
    if isinstance(order, CheckOrder):
        new["siblings"] = [
            msgspec.structs.replace(one, access=change(one.place, one.access)) for one in order.siblings
        ]
    if isinstance(order, ExplainOrder):
        new["stores"] = [msgspec.structs.replace(one, access=change(one.place, one.access)) for one in order.stores]
    if isinstance(order, SuggestOrder | CoverageOrder) and order.sets is not None:
        new["sets"] = [
            msgspec.structs.replace(one, taken_in=with_accesses(one.taken_in, change)) for one in order.sets
        ]
    if isinstance(order, ReplicateOrder):
        new["to_access"] = change(order.to, order.to_access)
    return msgspec.structs.replace(order, **new)


def _with_copied(own: OwnRepository, change: Change) -> OwnRepository:
    if own.copied_from is None:
        return own
    return msgspec.structs.replace(own, copied_access=change(own.copied_from, own.copied_access))


def places_of(order: Order) -> list[str]:
    """Each place once."""
    found: dict[str, None] = {}

    def note(place: str, access: StoreAccess) -> StoreAccess:
        found[place] = None
        return access

    with_accesses(order, note)
    return list(found)
