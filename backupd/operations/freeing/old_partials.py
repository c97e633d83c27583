"""Partial snapshots that nobody went on from for 30 days are dropped (DESIGN 8.2)."""

from __future__ import annotations

from backupd.errors import ObjectMissingError
from backupd.operations.context import JobContext
from backupd.repository.dropping import drop_snapshots
from backupd.repository.records import Records

KEPT_NS = 30 * 86_400 * 10**9


def drop_old_partials(context: JobContext, records: Records) -> int:
    """Make them void; returns how many. Their objects go with the freeing that follows. Raises as `Looking.look`."""
    void, now_ns = records.void_names(), context.clock.now_ns()
    old: list[str] = []
    for name in records.listed_snapshot_names():
        if name.name in void:
            continue
        try:
            snapshot = records.snapshot(name.name)
        except ObjectMissingError:
            continue
        if not snapshot.is_complete and now_ns - max(snapshot.started_ns, snapshot.finished_ns) > KEPT_NS:
            old.append(name.name)
        context.cancel.check()
    if old:
        drop_snapshots(records, old, now_ns, bytes.fromhex(context.host.host_id), "unfinished for 30 days")
    return len(old)
