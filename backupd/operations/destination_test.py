"""Whether a place can be used, what its store can and can't do, and how fast it is (FEATURES 4.4)."""

from __future__ import annotations

import os

from backupd.destination.contract import Forwarding, Opening, Store
from backupd.destination.pool.opening import state_of_members
from backupd.destination.trial import Trial
from backupd.model import events
from backupd.model.destination_orders import DestinationTestOrder
from backupd.model.places import is_url
from backupd.operations.context import JobContext
from backupd.operations.places import split_place
from backupd.sizes import count

_FAILED = 15


def run(order: DestinationTestOrder, context: JobContext) -> events.Done:
    """Try the place. Exit 15 where it can't be used. Raises DestinationError in its kinds, UsageError."""
    address, _ = split_place(order.place)

    def open_it(tag: str) -> Store:
        return context.open_store(address, tag, order.access, create=is_url(address))

    began = context.clock.monotonic()
    store = open_it(f"probe-{os.urandom(8).hex()}")
    trial = Trial(store, open_it, context.clock)
    findings: list[dict[str, object]] = []
    try:
        names = store.top_names()
        reached_seconds = context.clock.monotonic() - began
        for finding in trial.run(is_quick=order.quick):
            context.cancel.check()
            findings.append({"name": finding.name, "verdict": finding.verdict, "detail": finding.detail})
            context.tell("information", f"{finding.name}: {finding.verdict}", verbosity=1)
        free_bytes, traits, kept = store.free_bytes(), store.traits, Forwarding(store).keeping()
    finally:
        trial.clean()
        store.close()
    if trial.left:
        context.warn(f"the login may not delete what the test stored: {count(len(trial.left), 'object')}")
    is_usable = all(finding["verdict"] != "failed" for finding in findings)
    result: dict[str, object] = {
        "place": order.place,
        "usable": is_usable,
        "findings": findings,
        "members": _members(address, order),
        "reached_seconds": round(reached_seconds, 4),
        "put_bytes_per_second": int(trial.speed.put_bytes_per_second) if trial.speed is not None else None,
        "get_bytes_per_second": int(trial.speed.get_bytes_per_second) if trial.speed is not None else None,
        "free_bytes": free_bytes,
        "create_if_absent": traits.create_if_absent,
        "keeps_versions": kept.versions,
        "object_lock": kept.locks,
        "holds_something": bool([name for name in names if name != "tmp"]),
    }
    return events.Done(exit_code=0 if is_usable else _FAILED, result=result, warnings=context.warnings)


def _members(address: str, order: DestinationTestOrder) -> list[dict[str, object]]:
    """How each member of a pool is; empty of what is no pool."""
    found = state_of_members(Opening(address, f"probe-{os.urandom(8).hex()}", order.access))
    return [
        {"name": name, "reached": error is None, "detail": error.message if error is not None else ""}
        for name, error in found
    ]
