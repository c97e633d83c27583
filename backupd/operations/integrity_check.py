"""`bkctl check`: is all there that the snapshots need, and with `--crc`, is every byte of it as it was written?

Order of reading: snapshots, then the index, then the blocks. A backup that runs meanwhile writes in the opposite order,
so whatever it had finished before is found whole.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from backupd.destination.contract import Forwarding
from backupd.errors import BackupError, BusyError, DamageError, DestinationError, RollbackError, SetNotFoundError
from backupd.model import events
from backupd.model.orders import CheckOrder
from backupd.operations import check_log, index_rebuild
from backupd.operations.backup import priority
from backupd.operations.check_commands import commands_of, no_snapshot
from backupd.operations.check_findings import Findings
from backupd.operations.check_rollback import check_rollback
from backupd.operations.check_stored import StoredCheck
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace, open_place, writing
from backupd.operations.repair.giving_up import GivingUp
from backupd.operations.repair.records import RecordRepair
from backupd.operations.repair.running import Repair
from backupd.operations.repair.small_objects import SmallObjectRepair
from backupd.operations.snapshot_listing import SnapshotAt, to_record
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_check import VerifiedIndex, verify_index
from backupd.repository.object_check import SmallObjects, check_objects, check_texts
from backupd.rules import picking
from backupd.settings.directories import ensure
from backupd.settings.lock import SetLock
from backupd.sizes import count
from backupd.snapshot import naming


def run(order: CheckOrder, context: JobContext) -> events.Done:
    """Check a place. Raises BackupError where it can't be opened; damage is no error but the result."""
    if order.limits.polite:
        priority.lower()
    context.step("open the repository")
    place = open_place(context)
    findings = Findings()
    with ExitStack() as held:
        context.step("read snapshots, sessions and records")
        objects = read_objects(context, place, findings)
        healed_objects: dict[str, str] = {}
        if order.repair and findings.problems:
            healed_objects = SmallObjectRepair(order, context, place).run(findings.problems)
            healed_objects |= RecordRepair(order, context, place, objects).before_reading(findings.problems)
        if healed_objects:
            findings = Findings()
            objects = read_objects(context, place, findings)
        check_rollback(context, place, objects, findings, is_accepted=order.accept_rollback)
        chosen = _choose(order, context, place, objects, findings, held)
        context.step("fetch and verify the index")
        index = read_index(context, place)
        rebuilt = None
        if order.rebuild_index or (order.repair and _lacks_blocks(place, index, objects)):
            context.step("make the index anew from the blocks")
            with writing(context, place) as writable:
                rebuilt = index_rebuild.rebuild(context, writable.repository, place.setup(), index, objects)
            index.tables.close()
            index = read_index(context, place)
        for name, error in index.damaged.items():
            findings.add(f"index/{name}", error.code, error.message)
        if index.locked or objects.locked:
            closed = count(len(index.locked) + len(objects.locked), "object")
            context.warn(f"the key at hand does not open what is of newer epochs: {closed}")
        stored = StoredCheck(order, context, place, index, objects, findings)
        context.step("verify every stored byte" if order.crc else "verify what snapshots need")
        try:
            findings.was_repaired = order.repair
            stored.run(chosen)
            is_recorded = _record(context, place, stored, findings)
            if order.repair:
                is_whole = stored.areas is not None and stored.areas.is_counted
                has_read = is_recorded and stored.has_read_all
                records = RecordRepair(order, context, place, objects)
                healed_objects |= records.after_reading(findings, has_read=has_read, is_whole=is_whole)
            giving_up = GivingUp(order, context, place, findings, chosen)
            giving_up.look()
            healed = None
            if order.repair and stored.is_to_be_healed and findings.outdated is None:
                healed = Repair(order, context, place, index, objects, findings).run(stored, chosen)
            decisions = giving_up.run(stored) if stored.has_walked else []
            stored.judge()
            for member, name in Forwarding(place.whole).damaged_copies():
                findings.add(name, DamageError.code, f"its copy at {member} is damaged, another member's is whole")
            result = stored.result()
        finally:
            stored.close()
    result["snapshots"] = len(chosen) if stored.has_walked else 0
    result["rebuilt"] = rebuilt
    result["healed"] = healed
    result["healed_objects"] = [{"object": name, "place": origin} for name, origin in healed_objects.items()]
    result["decisions"], result["given_up"] = decisions, giving_up.standing()
    result["areas"] = stored.areas.result(context) if stored.areas is not None else None
    return _end(order, context, place, findings, result)


def read_objects(context: JobContext, place: OpenPlace, findings: Findings) -> SmallObjects:
    """All small objects; what is wrong with them goes to the findings."""
    for problem in check_texts(place.whole, place.repository.text_id):
        findings.add(problem.name, problem.code, problem.message)
    objects = check_objects(place.repository, context.cancel.check)
    for problem in objects.problems:
        if problem.name not in objects.void:
            findings.add(problem.name, problem.code, problem.message)
    for name in objects.unknown:
        context.tell("information", f"{name} is no object of this format and was passed over", verbosity=1)
    return objects


def _choose(
    order: CheckOrder,
    context: JobContext,
    place: OpenPlace,
    objects: SmallObjects,
    findings: Findings,
    held: ExitStack,
) -> list[SnapshotAt]:
    """Snapshots to walk: of the sets asked for, those skipped on which a job is running. Their locks are held."""
    living = [SnapshotAt(name, one) for name, one in objects.snapshots.items() if name not in objects.void]
    living.sort(key=lambda at: at.snapshot.started_ns, reverse=True)
    names = {at.snapshot.set_id: at.snapshot.set_name for at in living}
    wanted = set(names) | objects.session_sets
    if order.set_names:
        records = [to_record(at) for at in living]
        own_host = context.host.name
        try:
            asked = {picking.choose_set(records, name, own_host=own_host) for name in order.set_names}
        except SetNotFoundError as error:
            if order.known_as is not None and findings.problems:
                # It may be what is damaged, or gone.
                return []
            if any(problem.code == RollbackError.code for problem in findings.problems):
                raise findings.error(place.whole.shown, commands_of(order, place)) or error from error
            if order.known_as is None or objects.locked:
                raise
            raise no_snapshot(order.known_as) from error
        wanted = {bytes.fromhex(text[1:]) for text in asked}
    elif not names:
        context.tell("information", f"{place.whole.shown} holds no snapshot yet: no data")
    for set_id in sorted(wanted):
        lock = SetLock(context.directories.state, naming.set_id_text(set_id))
        try:
            lock.acquire(context.clock, 0.0, context.cancel)
        except BusyError as error:
            wanted.discard(set_id)
            name = names.get(set_id, naming.set_id_text(set_id))
            findings.skipped[name] = error
            context.warn(f"{name} was skipped: {error.message}")
        else:
            held.callback(lock.close)
    return [at for at in living if at.snapshot.set_id in wanted]


def read_index(context: JobContext, place: OpenPlace) -> VerifiedIndex:
    """The whole index as it is at the place."""
    directory = ensure(os.path.join(place.cache, "index"))
    return verify_index(place.repository, directory, context.cancel.check)


def _lacks_blocks(place: OpenPlace, index: VerifiedIndex, objects: SmallObjects) -> bool:
    """Whether blocks lie there that no readable index object names, as when one of them is damaged or gone."""
    named = {row.block_id for row in index.tables.blocks()}
    return bool(index.damaged) or not list_blocks(place.repository.place).keys() <= named | objects.deleted


def _record(context: JobContext, place: OpenPlace, stored: StoredCheck, findings: Findings) -> bool:
    """Publish places that no damage record names yet; whether all are recorded now.

    That corrects nothing: the next backup then stores them again.
    """
    fresh = stored.bad.without(stored.recorded)
    fresh.update(stored.healable.without(stored.recorded))
    if not fresh:
        return True
    blocks, chunks = len(fresh.blocks), sum(map(len, fresh.chunks.values()))
    host_id = bytes.fromhex(context.host.host_id)
    try:
        with writing(context, place) as writable:
            name = writable.records.report_damage(fresh.record(context.clock.now_ns(), host_id))
    except DestinationError as error:
        context.warn(f"the damage could not be recorded, so the next backup does not know of it: {error.message}")
        return False
    findings.recorded_blocks, findings.recorded_chunks = blocks, chunks
    stored.now_recorded = fresh
    context.tell(
        "information",
        f"recorded as {name}, so that the next backup stores it again: "
        f"{blocks} {'block' if blocks == 1 else 'blocks'}, {chunks} single {'chunk' if chunks == 1 else 'chunks'}",
    )
    return True


def _end(
    order: CheckOrder, context: JobContext, place: OpenPlace, findings: Findings, result: dict[str, object]
) -> events.Done:
    result["seconds"] = round(context.elapsed_seconds, 3)
    result["problems"] = [
        {"object": problem.name, "code": problem.code, "message": problem.message} for problem in findings.problems
    ]
    result["files_hit"], result["files_hit_count"] = findings.hits, findings.hit_count
    result["recorded"] = {"blocks": findings.recorded_blocks, "chunks": findings.recorded_chunks}
    result["skipped"] = [{"set": name, "reason": error.message} for name, error in findings.skipped.items()]
    for line in check_log.statistics_lines(result):
        context.tell("information", line, verbosity=1)
    error: BackupError | None = findings.error(place.whole.shown, commands_of(order, place))
    done = events.Done(
        exit_code=error.exit_code if error is not None else 0,
        result=result,
        warnings=context.warnings,
        error=error_fields(error) if error is not None else None,
    )
    check_log.keep(context, place.address, place.repository.text_id, done)
    return done
