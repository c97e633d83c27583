"""`bkctl free`: space that no snapshot needs goes back to the store, beside backups of any host (DESIGN 8.3)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from backupd import durable_io
from backupd.errors import DamageError, DestinationError, StateError
from backupd.model import events
from backupd.model.orders import FreeOrder
from backupd.operations.backup import priority
from backupd.operations.context import JobContext
from backupd.operations.freeing import policy_drops
from backupd.operations.freeing.cleaning import Cleaner
from backupd.operations.freeing.drop_tidying import tidy_drops
from backupd.operations.freeing.index_tidying import tidy_index
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace, list_snapshots, open_place, to_record, writing
from backupd.repository import reserve
from backupd.rules import picking


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
    _refuse_unknown(order, context, place)
    report = Report()
    retained: dict[str, Any] | None = None
    if order.dry_run:
        decision = policy_drops.planned(context, place, order)
        retained = policy_drops.document(order, decision, None)
        Cleaner(context, place, report).show(decision.names if decision is not None else [])
    else:
        with writing(context, place) as writable:
            retained = policy_drops.dropped(context, writable, order, report)
            _free(context, writable, report)
    result = report.result() | {
        "retention": retained,
        "dry_run": order.dry_run,
        "seconds": round(context.elapsed_seconds, 3),
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _refuse_unknown(order: FreeOrder, context: JobContext, place: OpenPlace) -> None:
    """Who names a set that is not there means another repository."""
    if order.set_names:
        records = [to_record(at) for at in list_snapshots(place).found]
        for name in order.set_names:
            picking.choose_set(records, name, own_host=context.host.name)


def _free(context: JobContext, place: OpenPlace, report: Report) -> None:
    store, now_ns = place.records.place, context.clock.now_ns()
    for directory in (place.cache, os.path.join(place.cache, "index")):
        # What can't be removed lies there until the next time.
        with suppress(OSError):
            durable_io.remove_leftovers(directory)
    # Deleted first, so that lists can be written where nothing else is left.
    reserve.give_up(store)
    try:
        Cleaner(context, place, report).run()
        tidy_index(context, place, report)
        tidy_drops(context, place, report)
    finally:
        try:
            reserve.keep(store, place.cache, now_ns)
        except (DestinationError, DamageError, StateError) as error:
            context.warn(f"the reserve of a megabyte could not be written again: {error.message}")
    report.after.data_bytes, report.after.retention_bytes = report.before.data_bytes, report.before.retention_bytes
    report.after.stored_bytes = report.before.stored_bytes - report.freed_bytes
