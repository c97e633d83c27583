"""`bkctl destination replicate`: the order of its steps is the order of `run`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from backupd import __version__
from backupd.destination.stores import canonical, local_path
from backupd.errors import BackupError, BusyError, DamageError, ObjectMissingError, SnapshotNotFoundError
from backupd.model import events
from backupd.model.orders import ReplicateOrder
from backupd.operations.backup import priority
from backupd.operations.backup.own_repository import lost
from backupd.operations.context import JobContext
from backupd.operations.failover import on_one_member
from backupd.operations.places import OpenPlace, closed, open_place
from backupd.operations.replicate.blame import told_of
from backupd.operations.replicate.one_set import SetReplication
from backupd.operations.replicate.report import Report
from backupd.operations.replicate.target import address_of, open_target, remove_leftovers
from backupd.operations.snapshot_listing import SnapshotAt, to_record
from backupd.repository import identity
from backupd.repository.key_management import check_newest
from backupd.rules import picking
from backupd.settings.lock import SetLock
from backupd.settings.writer_mark import WriterMark
from backupd.snapshot.naming import SnapshotName, parse_snapshot_name, set_id_text, snapshot_id_text


def run(order: ReplicateOrder, context: JobContext) -> events.Done:
    """Copy what the new place lacks. Raises BackupError where nothing was copied."""
    if order.limits.polite:
        priority.lower()
    context.stop_after(order.limits.stop_after_seconds)
    report = Report(context, order.from_name or order.place, order.to_name or order.to)
    context.step(f"backupd {__version__}: open the repository to copy from")
    with told_of(report.from_name):
        old = open_place(context)
        check_newest(old.repository)
        address = address_of(order, old)
        report.repository = old.repository.text_id
        chosen, unread = _choose(order, context, old, report)
    if not chosen and not unread:
        context.tell("information", f"{report.from_name} holds no finished snapshot yet: nothing to copy")
        return report.end(None)
    context.step("open the repository to copy to")
    with told_of(report.to_name):
        # What one member of a failover pool has must not stand for what another lacks.
        address = on_one_member(address, order.to_access, context, create=not order.existing)
        directory = local_path(address, order.to_access) if order.existing else None
        if directory is not None and not os.path.lexists(directory):
            raise lost(address)
    tag = os.urandom(16).hex()
    with WriterMark(context.directories.state, identity.place_tag(canonical(address)), tag) as mark:
        with told_of(report.to_name):
            whole = context.open_store(address, tag, order.to_access, create=not order.existing)
        with closed(whole, mark):
            with told_of(report.to_name):
                new, report.is_made = open_target(order, context, old, whole, address)
                remove_leftovers(context, new, whole, mark)
                _tell_unread(new, unread, report)
            return _copy(order, context, old, new, chosen, report)


def _copy(
    order: ReplicateOrder,
    context: JobContext,
    old: OpenPlace,
    new: OpenPlace,
    chosen: dict[str, list[SnapshotAt]],
    report: Report,
) -> events.Done:
    """Each set by itself; what was copied before one failed stands."""
    for set_id, wanted in chosen.items():
        name = wanted[-1].snapshot.set_name
        context.send(events.Opened(repository=new.repository.text_id, set_id=set_id))
        with SetLock(context.directories.state, set_id) as lock:
            try:
                lock.acquire(context.clock, 0.0, context.cancel)
                SetReplication(context, old, new, report, wanted, order).run()
            except BusyError as error:
                if lock.is_held:
                    raise
                report.skipped[name] = error
                context.warn(f"{name} was skipped: {error.message}")
            except BackupError as error:
                if not report.done_count:
                    raise
                return report.end(error)
    return report.end(None)


def _choose(
    order: ReplicateOrder, context: JobContext, old: OpenPlace, report: Report
) -> tuple[dict[str, list[SnapshotAt]], dict[str, str]]:
    """(the finished snapshots to copy by the id of their set, the oldest first; reasons by name of those not readable).

    No set that has none. Raises SetNotFoundError, AmbiguousNameError, SnapshotNotFoundError.
    """
    if order.snapshot:
        return _choose_one(order, old, report), {}
    named: dict[str, list[SnapshotName]] = {}
    for name in old.records.snapshot_names():
        named.setdefault(name.set_id, []).append(name)
    found: dict[str, list[SnapshotAt]] = {}
    unread: dict[str, str] = {}
    for set_id, names in named.items():
        context.cancel.check()
        found[set_id] = []
        for at in _read(old, names, unread):
            found[set_id].append(at)
            if order.latest and at.snapshot.is_complete:
                break
    wanted = set(named)
    if order.set_names:
        records = [to_record(at) for ats in found.values() for at in ats]
        wanted = {picking.choose_set(records, name, own_host=context.host.name) for name in order.set_names}
    chosen: dict[str, list[SnapshotAt]] = {}
    for set_id in sorted(wanted):
        complete = {at.snapshot.id: at for at in found[set_id] if at.snapshot.is_complete}
        ids = {at.snapshot.id for at in found[set_id]}
        report.partial_count += len(ids - complete.keys())
        report.wanted_count += len(complete)
        if complete:
            chosen[set_id] = sorted(complete.values(), key=lambda at: (at.snapshot.started_ns, at.snapshot.id))
    return chosen, {name: message for name, message in unread.items() if name.split("/")[1] in wanted}


def _tell_unread(new: OpenPlace, unread: dict[str, str], report: Report) -> None:
    """What can't be read at the old place is no loss where the new one has a snapshot of that set and moment."""
    there = {(name.set_id, name.start) for name in new.records.snapshot_names()} if unread else set()
    for name, message in unread.items():
        parsed = parse_snapshot_name(name)
        if parsed is not None and (parsed.set_id, parsed.start) not in there:
            report.add_unreadable(name, message)


def _choose_one(order: ReplicateOrder, old: OpenPlace, report: Report) -> dict[str, list[SnapshotAt]]:
    """The finished snapshot of the order's id. Raises SnapshotNotFoundError."""
    names = [name for name in old.records.snapshot_names() if not order.set_names or name.set_id in order.set_names]
    for at in _read(old, sorted(names, key=lambda name: name.start), {}):
        if at.snapshot.is_complete and snapshot_id_text(at.snapshot.id) == order.snapshot:
            report.wanted_count = 1
            return {set_id_text(at.snapshot.set_id): [at]}
    raise SnapshotNotFoundError(f"{old.address} holds no finished snapshot {order.snapshot}")


def _read(old: OpenPlace, names: list[SnapshotName], unread: dict[str, str]) -> Iterator[SnapshotAt]:
    """Snapshots of a set, the newest first; the reason of each that can't be read goes to `unread`."""
    for name in reversed(names):
        try:
            yield SnapshotAt(name.name, old.records.snapshot(name.name))
        except (DamageError, ObjectMissingError) as error:
            unread[name.name] = error.message
