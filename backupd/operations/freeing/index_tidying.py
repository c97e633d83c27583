"""After blocks went: index objects that mostly name gone ones are written anew, replaced ones go after a week."""

from __future__ import annotations

import os
from collections.abc import Callable

from backupd.cache import first_seen
from backupd.errors import BackupError
from backupd.index.merge import IndexSize, plan_together
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.index_loading import LoadedIndex, fetch_contents, load_index, merge_named
from backupd.repository.records import GcState
from backupd.settings.directories import ensure
from backupd.store_errors import ObjectLockedError

REPLACED_NS = 7 * 86_400 * 10**9
"""So long a replaced index object stays for those that have listed it."""
_MOST_GONE = 0.2
"""An index object is written anew when a larger part of its segments lies in blocks that are gone."""


def tidy_index(context: JobContext, place: OpenPlace, report: Report, tick: Callable[[], None]) -> None:
    """What fails here fails nothing: the next freeing does it. tick: called between its steps, raises the stop."""
    context.step("tidy up the index")
    index: LoadedIndex | None = None
    try:
        index = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        gc = place.records.gc_state()
        _write_anew(place, index, gc, tick)
        _remove_replaced(context, place, index, report, tick)
    except BackupError as error:
        if context.cancel.is_requested:
            raise
        # Blocks may be deleted yet: whether the space is free is told when that is over.
        context.warn(f"the index was not tidied up, which the next freeing does: {error.message}")
    finally:
        if index is not None:
            index.tables.close()


def _write_anew(place: OpenPlace, index: LoadedIndex, gc: GcState, tick: Callable[[], None]) -> None:
    stale = [
        IndexSize(table.name, len(table), index.sizes[table.name])
        for table in reversed(index.tables.tables())
        if table.name in index.sizes and table.share_in(gc.deleted) > _MOST_GONE
    ]
    for group in plan_together(stale):
        tick()
        if not merge_named(place.records, index, group) and len(group) > 1:
            # Their chunks have so many places that there would be no fewer objects.
            for name in group:
                merge_named(place.records, index, [name])


def _remove_replaced(
    context: JobContext, place: OpenPlace, index: LoadedIndex, report: Report, tick: Callable[[], None]
) -> None:
    """Index objects that a readable newer one has replaced for a week; their age alone never says so."""
    replaced_by = {old: table.name for table in index.tables.tables() for old in table.replaces if old in index.sizes}
    path = os.path.join(place.cache, "index.seen")
    before = first_seen.load(path)
    seen: dict[str, first_seen.Seen] = {}
    readable: set[str] = set()
    clock, boot = context.clock, context.host.boot_id
    for old, new in replaced_by.items():
        first = before.get(old)
        if first is None or first.mark != new:
            first = first_seen.Seen(new, boot, clock.monotonic(), clock.now_ns())
        if clock.now_ns() - first.wall_ns < REPLACED_NS:
            seen[old] = first
            continue
        if new not in readable:
            fetch_contents(place.repository, new)
            readable.add(new)
        try:
            place.repository.place.delete(f"index/{old}")
        except ObjectLockedError:
            # It harms nobody until its lock is over.
            seen[old] = first
            continue
        report.removed_indexes += 1
        tick()
    first_seen.keep(path, seen)
