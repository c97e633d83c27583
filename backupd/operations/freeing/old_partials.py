"""Partial snapshots that nobody went on from for 30 days are dropped (DESIGN 8.2)."""

from __future__ import annotations

from backupd.operations.context import JobContext
from backupd.repository.dropping import drop_snapshots
from backupd.repository.looking import Look
from backupd.repository.records import Records

KEPT_NS = 30 * 86_400 * 10**9


def drop_old_partials(context: JobContext, records: Records, look: Look) -> int:
    """Make those that were seen void; returns how many. Their objects go with the freeing that follows."""
    now_ns = context.clock.now_ns()
    old = [
        name
        for name, one in look.snapshots.items()
        if name not in look.void
        and not one.is_complete
        and now_ns - max(one.started_ns, one.finished_ns) > KEPT_NS
    ]
    if old:
        drop_snapshots(records, old, now_ns, bytes.fromhex(context.host.host_id), "unfinished for 30 days")
    return len(old)
