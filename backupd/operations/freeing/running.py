"""`bkctl free`: space that no snapshot needs goes back to the store, beside backups of any host (DESIGN 8.3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from backupd import durable_io
from backupd.cache import counted_areas
from backupd.errors import (
    AccessError,
    BackupError,
    DamageError,
    DestinationError,
    DestinationRefusedError,
    StateError,
    StateFullError,
)
from backupd.model import events
from backupd.model.orders import FreeOrder
from backupd.operations.backup import priority
from backupd.operations.context import JobContext, error_fields
from backupd.operations.freeing import policy_drops
from backupd.operations.freeing.cleaning import Cleaner
from backupd.operations.freeing.clearing import clear
from backupd.operations.freeing.report import Report
from backupd.operations.freeing.targeting import Targeting
from backupd.operations.places import OpenPlace, open_place, writing
from backupd.operations.snapshot_listing import list_snapshots, to_record
from backupd.repository import reserve
from backupd.repository.parity_setting import wanted_there, with_parity
from backupd.rules import moments, picking
from backupd.rules.space_target import TargetPlan
from backupd.sizes import format_bytes
from backupd.store_errors import FreeingWaitsError, TargetMissedError

_MOST_MISSED = 0.98
"""What is given back less than this part of the target is told as missed: shares are reckoned, not measured."""


def run(order: FreeOrder, context: JobContext) -> events.Done:
    """Free what can be freed now, and say what waits.

    Raises DamageError, NewerVersionError, KeyMissingError where something can't be read, SetNotFoundError: then nothing
    is deleted.
    """
    if order.limits.polite:
        priority.lower()
    context.step("open the repository")
    place = open_place(context)
    if context.alarm is not None:
        # What snapshots are gone is not known to be anybody's wish: nothing is deleted on such a word.
        raise context.alarm
    if not order.has_target:
        # Who chooses snapshots for a target looks at them all the same.
        _refuse_unknown(order, context, place)
    repository = with_parity(place.repository, wanted_there(place.records))
    place = msgspec.structs.replace(place, repository=repository)
    report = Report()
    retained: dict[str, Any] | None = None
    told: dict[str, Any] | None = None
    error: BackupError | None = None
    is_counted = not order.dry_run
    if order.has_target:
        told, error = _free_for_target(order, context, place, report)
    elif order.dry_run:
        decision = policy_drops.planned(context, place, order)
        retained = policy_drops.document(order, decision, None)
        dropped = decision.names if decision is not None else []
        Cleaner(context, place, report).show(dropped)
        is_counted = not dropped
    else:
        with writing(context, place) as writable, _told_who_may():
            retained = policy_drops.dropped(context, writable, order, report)
            _free(context, writable, report, Cleaner(context, writable, report))
    if order.dry_run:
        report.after = report.before
    result = report.result() | {
        "retention": retained,
        "target": told,
        "statistics": _kept_statistics(context, place, report) if is_counted else None,
        "dry_run": order.dry_run,
        "seconds": round(context.elapsed_seconds, 3),
    }
    return events.Done(
        exit_code=error.exit_code if error is not None else 0,
        result=result,
        warnings=context.warnings,
        error=error_fields(error) if error is not None else None,
    )


def _kept_statistics(context: JobContext, place: OpenPlace, report: Report) -> dict[str, Any]:
    """What is stored now, as the result tells it; kept in the place's cache, too."""
    found = report.statistics(place.repository.text_id, context.clock.now_ns())
    try:
        counted_areas.keep(place.cache, found)
    except (StateFullError, StateError, AccessError) as error:
        context.warn(f"{error.message}; bkctl info goes on showing older figures")
    told: dict[str, Any] = msgspec.to_builtins(found)
    return {**told, "as_of": moments.rfc3339(found.as_of_ns, context.zone)}


def _free_for_target(
    order: FreeOrder, context: JobContext, place: OpenPlace, report: Report
) -> tuple[dict[str, Any], BackupError | None]:
    """Weigh the snapshots, and where that is wanted drop those of the plan and give free what they held."""
    targeting = Targeting(context, place, order)
    cleaner = Cleaner(context, place, report)
    cleaner.weigh(targeting)
    plan = targeting.plan()
    report.planned_bytes = plan.freed_bytes
    if order.dry_run:
        cleaner.note_locked(targeting.names_of(plan))
        return targeting.document(plan, changed=False), None
    targeting.confirm(plan)
    with writing(context, place) as writable, _told_who_may():
        cleaner = Cleaner(context, writable, report, known=cleaner.snapshots)
        cleaner.refuse_second_cleaner()
        targeting.drop(writable, plan)
        cleaner.wanted_bytes = targeting.wanted_bytes(plan)
        _free(context, writable, report, cleaner)
        targeting.note_left(writable, plan, report)
    return targeting.document(plan, changed=True), _missed(order, plan, report)


def _missed(order: FreeOrder, plan: TargetPlan, report: Report) -> BackupError | None:
    """What is told where less was given back than was asked for."""
    target = order.target_bytes if order.target_bytes is not None else plan.freed_bytes
    freed = f"{format_bytes(max(0, report.freed_bytes))} of {format_bytes(target)} are given back"
    if not plan.short_bytes and report.freed_bytes >= _MOST_MISSED * target:
        return None
    held = [*report.waiting, *([report.locked] if report.locked is not None else [])]
    if held:
        return FreeingWaitsError(
            f"{freed}; the rest waits: {held[0].reason}", hint="what waits is given back by: bkctl free SET"
        )
    if plan.short_bytes:
        hint = "unpin snapshots, or have other sets give space back; bkctl purge deletes what must not stay"
        return TargetMissedError(f"{freed}; nothing else may be dropped", hint=hint)
    why = "there is too little room for copies" if report.put_off_blocks else "the rest lies between what is needed"
    return TargetMissedError(f"{freed}: {why}", hint="make room there, then once more: bkctl free SET")


@contextmanager
def _told_who_may() -> Iterator[None]:
    """A login that may only add frees nothing: another host does (DESIGN 8.6)."""
    try:
        yield
    except DestinationRefusedError as error:
        error.hint = "nothing more was deleted; space is freed by a host whose login may delete, and write below gc/"
        raise


def _refuse_unknown(order: FreeOrder, context: JobContext, place: OpenPlace) -> None:
    """Who names a set that is not there means another repository."""
    if order.set_names:
        records = [to_record(at) for at in list_snapshots(place).found]
        for name in order.set_names:
            picking.choose_set(records, name, own_host=context.host.name)


def _free(context: JobContext, place: OpenPlace, report: Report, cleaner: Cleaner) -> None:
    store, now_ns = place.records.place, context.clock.now_ns()
    for directory in (place.cache, os.path.join(place.cache, "index")):
        # What can't be removed lies there until the next time.
        with suppress(OSError):
            durable_io.remove_leftovers(directory)
    # Deleted first, so that lists can be written where nothing else is left.
    reserve.give_up(store)
    try:
        clear(context, place, report, cleaner)
    finally:
        try:
            reserve.keep(store, place.cache, now_ns)
        except (DestinationError, DamageError, StateError) as error:
            context.warn(f"the reserve of a megabyte could not be written again: {error.message}")
    report.after.stored_bytes = report.before.stored_bytes - report.freed_bytes
