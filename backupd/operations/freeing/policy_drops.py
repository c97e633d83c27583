"""What the set's policy does not keep is dropped before space is given free (FEATURES 7.4)."""

from __future__ import annotations

from typing import Any

from backupd.errors import BusyError
from backupd.model.orders import FreeOrder
from backupd.model.retention_words import policy_words
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report, Waiting
from backupd.operations.places import OpenPlace
from backupd.repository.retaining import Decision, Retained, carry_out, decide
from backupd.rules import names
from backupd.settings.lock import SetLock

_MOST_NAMED = 20


def planned(context: JobContext, place: OpenPlace, order: FreeOrder) -> Decision | None:
    """What would be dropped; None where no policy says so. Raises as `repository.retaining.decide`."""
    if order.policy is None or not names.is_id(order.set_id, "b"):
        return None
    set_id = bytes.fromhex(order.set_id[1:])
    return decide(place.records, set_id, order.policy, now_ns=context.clock.now_ns(), zone=context.zone)


def dropped(context: JobContext, place: OpenPlace, order: FreeOrder, report: Report) -> dict[str, Any] | None:
    """Drop it. place: a writer's. While a run of the set is under way nothing is dropped, which is told as waiting."""
    if order.policy is None or not order.set_id:
        return None
    context.step("drop what the policy does not keep")
    lock = SetLock(context.directories.state, order.set_id)
    try:
        lock.acquire(context.clock)
    except BusyError as error:
        report.waiting.append(Waiting("set", order.set_id, f"{error.message}; retention follows when it has ended"))
        return None
    with lock:
        decision = planned(context, place, order)
        if decision is None:
            return None
        if decision.plan.dropped:
            many = len(decision.plan.dropped)
            first = ", ".join(map(names.short, _ids(decision))) + " …" * (many > _MOST_NAMED)
            unkept = f"keeps {len(decision.plan.kept)} of {many + len(decision.plan.kept)} snapshots, not {first}"
            context.tell("information", f"the set's policy ({policy_words(order.policy)}) {unkept}")
        host_id = bytes.fromhex(context.host.host_id)
        retained = carry_out(place.records, decision, context.clock.now_ns(), host_id)
    return document(order, decision, retained)


def document(order: FreeOrder, decision: Decision | None, retained: Retained | None) -> dict[str, Any] | None:
    """How the result tells it. retained: None where nothing was done."""
    if decision is None or order.policy is None:
        return None
    return {
        "policy": policy_words(order.policy),
        "kept": len(decision.plan.kept),
        "dropped": len(decision.plan.dropped if retained is None else retained.dropped),
        "left": len(retained.left) if retained is not None else 0,
        "oldest_dropped": _ids(decision) if retained is None or retained.dropped else [],
        "plan": decision.id,
        "changed": retained is not None and bool(retained.dropped),
    }


def _ids(decision: Decision) -> list[str]:
    """Of the oldest snapshots that go."""
    return [one.id for one in decision.plan.dropped[:_MOST_NAMED]]
