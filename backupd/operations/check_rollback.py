"""Is every snapshot still there that this host has seen? One that is gone without a drop record was taken away."""

from __future__ import annotations

from backupd.cache import seen_snapshots
from backupd.errors import RollbackError
from backupd.operations.check_findings import Findings
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, seen_snapshots_path
from backupd.operations.rollback_alarm import alarm, is_gone
from backupd.repository.object_check import SmallObjects
from backupd.sizes import count


def check_rollback(
    context: JobContext, place: OpenPlace, objects: SmallObjects, findings: Findings, *, is_accepted: bool
) -> None:
    """Compare the list of snapshots seen with those listed, then note new ones. is_accepted: forget what is gone."""
    # From here on this check tells of it, or accepts it.
    context.alarm = None
    path = seen_snapshots_path(context, place)
    seen = seen_snapshots.load(path)
    listed = objects.snapshot_names
    gone = sorted(name for name in seen - listed - objects.void if is_gone(place.records, name))
    if gone and not is_accepted:
        findings.add("snapshots", RollbackError.code, alarm(gone, place.whole.shown).message)
    if gone and is_accepted:
        context.tell("information", f"accepted from now on: {count(len(gone), 'snapshot')} seen before, and gone")
    kept = listed | (seen - set(gone) if is_accepted else seen)
    if kept - objects.void != seen:
        seen_snapshots.keep(path, kept - objects.void)
