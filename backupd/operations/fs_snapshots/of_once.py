"""Snapshots of file systems around a run of `once`, which no daemon makes for it: by its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.orders import BackupOrder
from backupd.operations.backup.setting import SetUse
from backupd.operations.context import JobContext
from backupd.operations.fs_snapshots.programs import SystemPrograms
from backupd.operations.fs_snapshots.record import Records
from backupd.operations.fs_snapshots.running import Making, Removing, kinds_of, sweep_once
from backupd.snapshot import naming
from backupd.source.grafts import Grafts


def remove_leftovers(order: BackupOrder, context: JobContext) -> None:
    """Remove what earlier runs of `once` left behind when they were killed; a daemon's run leaves that to it."""
    records = Records(context.directories.state, of_once=True)
    if order.own is None and records.jobs():
        sweep_once(context, kinds_of(SystemPrograms(context.environ, context.clock), records.mounts))


@contextmanager
def reading_from(order: BackupOrder, context: JobContext, use: SetUse, session_id: bytes) -> Iterator[SetUse]:
    """The set, read from snapshots that stand while the block runs, where the order wants some.

    Its lock is held: what bears its id is left over. Raises BackupError.
    """
    if order.fs_snapshot == "off":
        yield use
        return
    records, job_id = Records(context.directories.state, of_once=True), f"j{session_id.hex()}"
    wanted = _wanted(order, use, job_id)
    environ, clock = context.environ, context.clock
    making = kinds_of(SystemPrograms(environ, clock, context.cancel), records.mounts)
    # What is removed is removed to its end, whoever cancels.
    removing = Removing(context, records, kinds_of(SystemPrograms(environ, clock), records.mounts))
    try:
        with closing(Grafts(Making(wanted, context, records, making).run(), context.source_rights)) as grafts:
            use.rules.choosing.read_at = grafts.opened
            yield msgspec.structs.replace(use, rules=msgspec.structs.replace(use.rules, grafts=grafts))
    finally:
        removing.job(job_id)


def look(order: BackupOrder, context: JobContext, use: SetUse) -> None:
    """Raise BackupError where a run of `once` could not make its snapshots, as far as that is known before."""
    if order.fs_snapshot == "off":
        return
    records = Records(context.directories.state, of_once=True)
    kinds = kinds_of(SystemPrograms(context.environ, context.clock, context.cancel), records.mounts)
    Making(msgspec.structs.replace(_wanted(order, use, ""), verb="look"), context, records, kinds).run()


def _wanted(order: BackupOrder, use: SetUse, job_id: str) -> FsSnapshotOrder:
    return FsSnapshotOrder(
        place="",
        verb="make",
        kind=order.fs_snapshot,
        fallback=order.fs_snapshot_fallback,
        set_id=naming.set_id_text(use.set_id),
        job_id=job_id,
        sources=order.sources,
        filters=order.filters,
        one_file_system=order.one_file_system,
        follow_links=order.follow_links,
        filter_words=order.filter_words,
        run_as=order.run_as,
    )
