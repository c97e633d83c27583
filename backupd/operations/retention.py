"""`retention plan` and `apply`, and retention after a backup: what the policy drops at one place."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.orders import RetentionOrder
from backupd.model.retention import RetentionText, document
from backupd.model.retention_words import policy_words
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_place, writing
from backupd.operations.snapshot_listing import list_snapshots, to_record
from backupd.repository.retaining import Decision, Retained, carry_out, decide
from backupd.rules import moments, names, picking
from backupd.rules.retention.checking import check_policy
from backupd.rules.retention.planning import Verdict
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.store_errors import PlanOutdatedError

_SET_ID_LENGTH = 33


def run(order: RetentionOrder, context: JobContext) -> events.Done:
    """Show what would be dropped, or drop it.

    Raises PlanOutdatedError, BusyError, DamageError where something can't be read: then nothing is dropped.
    """
    if order.policy is None:
        raise UsageError("no policy says what is to be kept", hint="name a set that the daemon knows")
    policy = check_policy(order.policy)
    place = open_place(context)
    if context.alarm is not None:
        # An older copy of the place: what was newest there is gone.
        raise context.alarm
    set_id = _set_id(order, context, place)
    if not order.apply:
        decision = _decide(context, place, set_id, policy)
        return _done(context, place, policy, decision, None)
    with SetLock(context.directories.state, naming.set_id_text(set_id)) as lock:
        lock.acquire(context.clock, cancel=context.cancel)
        with writing(context, place) as opened:
            decision = _decide(context, opened, set_id, policy)
            if order.plan and order.plan != decision.id:
                raise PlanOutdatedError(
                    f"plan {order.plan[:9]} is out of date: other snapshots would be dropped now",
                    hint="look at the new one: bkctl retention plan",
                    context={"plan": decision.id},
                )
            host_id = bytes.fromhex(context.host.host_id)
            retained = carry_out(opened.records, decision, context.clock.now_ns(), host_id)
    return _done(context, place, policy, decision, retained)


def _set_id(order: RetentionOrder, context: JobContext, place: OpenPlace) -> bytes:
    if len(order.set_name) == _SET_ID_LENGTH and names.is_id(order.set_name, "b"):
        return bytes.fromhex(order.set_name[1:])
    records = [to_record(at) for at in list_snapshots(place).found]
    return bytes.fromhex(picking.choose_set(records, order.set_name, own_host=context.host.name)[1:])


def _decide(context: JobContext, place: OpenPlace, set_id: bytes, policy: RetentionText) -> Decision:
    return decide(place.records, set_id, policy, now_ns=context.clock.now_ns(), zone=context.zone)


def _done(
    context: JobContext, place: OpenPlace, policy: RetentionText, decision: Decision, retained: Retained | None
) -> events.Done:
    result = {
        "set_id": naming.set_id_text(decision.set_id),
        "place": place.address,
        "repository": place.repository.text_id,
        **summary(policy, decision, retained, context.zone),
        "snapshots": [_document(verdict, context.zone) for verdict in decision.plan.verdicts],
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def summary(
    policy: RetentionText, decision: Decision, retained: Retained | None, zone: tzinfo
) -> dict[str, Any]:
    """How retention at one place is told. retained: None where nothing was to be done yet."""
    left = len(retained.left) if retained is not None else 0
    dropped = len(decision.plan.dropped) - left
    return {
        "changed": retained is not None and dropped > 0,
        "dry_run": retained is None,
        "plan": decision.id,
        "policy": document(policy),
        "policy_words": policy_words(policy),
        "zone": str(zone),
        "kept_count": len(decision.plan.kept),
        "dropped_count": dropped,
        "left_count": left,
        "deleted_count": retained.deleted_count if retained is not None else 0,
    }


def _document(verdict: Verdict, zone: tzinfo) -> dict[str, Any]:
    one = verdict.snapshot
    return {
        "id": one.id,
        "short": names.short(one.id),
        "time": moments.rfc3339(one.time_ns, zone),
        "kept": verdict.is_kept,
        "reasons": verdict.reasons,
    }
