"""`destination adopt`: is the copy of a set that came on a disk whole where it lies now? Writes nothing there."""

from __future__ import annotations

from random import SystemRandom
from typing import Any

from backupd.block.layout import block_name
from backupd.errors import BackupError, DamageError, FormatError, ObjectMissingError, RepositoryNotFoundError
from backupd.model import events
from backupd.model.destination_orders import DestinationAdoptOrder
from backupd.model.orders import CheckOrder
from backupd.operations.backup import priority
from backupd.operations.check_findings import Findings
from backupd.operations.check_rollback import check_rollback
from backupd.operations.check_stored import StoredCheck
from backupd.operations.context import JobContext, error_fields
from backupd.operations.integrity_check import read_index, read_objects
from backupd.operations.places import OpenPlace, open_place, split_place
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository import identity
from backupd.repository.bad_places import BadPlaces, PlaceCheck
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_check import VerifiedIndex
from backupd.repository.object_check import SmallObjects
from backupd.repository.verifying import BlockVerifier
from backupd.settings.lock import SetLock
from backupd.sizes import count
from backupd.snapshot import naming


def run(order: DestinationAdoptOrder, context: JobContext) -> events.Done:
    """Check the copy. Raises RepositoryNotFoundError, BusyError, KeyMissingError; damage is no error but the result."""
    priority.lower()
    context.step("look whether it is there")
    repository = _find(order, context)
    with SetLock(context.directories.state, order.set_id) as lock:
        lock.acquire(context.clock, 0.0, context.cancel)
        place = open_place(context)
        findings = Findings()
        context.step("read snapshots, sessions and records")
        objects = read_objects(context, place, findings)
        check_rollback(context, place, objects, findings, is_accepted=False)
        snapshots = _snapshots(order, objects, findings)
        context.step("fetch and verify the index")
        index = read_index(context, place)
        for name, error in index.damaged.items():
            findings.add(f"index/{name}", error.code, error.message)
        stored = StoredCheck(CheckOrder(place=order.place), context, place, index, objects, findings)
        try:
            blocks = _check_blocks(order, context, place, index, objects, findings)
            context.step("verify what snapshots need")
            stored.run(snapshots)
            stored.judge()
        finally:
            stored.close()
    return _end(order, context, repository, len(snapshots), blocks, findings)


def _find(order: DestinationAdoptOrder, context: JobContext) -> str:
    address, repository = split_place(order.place)
    whole = context.open_store(address, "reader", order.access)
    try:
        names = whole.top_names()
        if repository is None or repository not in identity.list_repositories(whole, names):
            raise RepositoryNotFoundError(
                f"{whole.shown} does not hold the folder {repository} yet",
                hint="copy that folder from the disk to there, whole, then try again",
            )
    finally:
        whole.close()
    return repository


def _snapshots(order: DestinationAdoptOrder, objects: SmallObjects, findings: Findings) -> list[SnapshotAt]:
    """The set's finished snapshots, the newest first; that there is none is a problem."""
    found = [
        SnapshotAt(name, one)
        for name, one in objects.snapshots.items()
        if name not in objects.void and one.is_complete and naming.set_id_text(one.set_id) == order.set_id
    ]
    if not found:
        findings.add("snapshots", ObjectMissingError.code, f"no finished snapshot of {order.set_name} is there")
    return sorted(found, key=lambda at: at.snapshot.started_ns, reverse=True)


def _check_blocks(
    order: DestinationAdoptOrder,
    context: JobContext,
    place: OpenPlace,
    index: VerifiedIndex,
    objects: SmallObjects,
    findings: Findings,
) -> dict[str, int]:
    """Figures: how many blocks the index lists, how many are missing, have another size, were drawn, are damaged."""
    context.step("count and measure the blocks")
    listed = {row.block_id: row.size_bytes for row in index.tables.blocks() if row.block_id not in objects.deleted}
    there = list_blocks(place.repository.place)
    missing = [block_id for block_id in listed if block_id not in there]
    whole = [block_id for block_id, size in listed.items() if there.get(block_id) == size]
    drawn = SystemRandom().sample(sorted(whole), min(order.sample, len(whole)))
    context.step(f"verify every byte of {len(drawn)} of {count(len(listed), 'block')}")
    verifier = BlockVerifier(place.repository.place, place.setup())
    places = PlaceCheck(index.tables, place.repository.place, place.setup())
    damaged = read_bytes = 0
    for number, block_id in enumerate(drawn):
        context.cancel.check()
        context.wait_while_paused()
        verdict = verifier.verify(block_id, listed[block_id])
        read_bytes += verdict.size_bytes
        problems = list(verdict.problems)
        if not problems and places.compare(verdict, BadPlaces()):
            problems = [(FormatError.code, "has other chunks than the index says")]
        damaged += bool(problems)
        for code, message in problems:
            findings.add(block_name(block_id), code, message)
        context.tell("information", f"{number + 1} of {count(len(drawn), 'block')} verified", verbosity=1)
    return {
        "listed": len(listed),
        "listed_bytes": sum(listed.values()),
        "missing": len(missing),
        "wrong_size": len(listed) - len(missing) - len(whole),
        "sampled": len(drawn),
        "sampled_bytes": read_bytes,
        "damaged": damaged,
    }


def _end(
    order: DestinationAdoptOrder,
    context: JobContext,
    repository: str,
    snapshots: int,
    blocks: dict[str, int],
    findings: Findings,
) -> events.Done:
    error: BackupError | None = None
    if findings.problems:
        first = findings.problems[0]
        count = len(findings.problems)
        error = DamageError(
            f"{order.set_name} did not arrive whole, {count} {'problem' if count == 1 else 'problems'}: "
            f"{first.name}: {first.message}",
            hint="copy what is missing or wrong from the disk once more, then adopt again; it is seeding until then",
        )
    result: dict[str, Any] = {
        "set": order.set_name,
        "repository": repository,
        "adopted": error is None,
        "snapshots": snapshots,
        "blocks": blocks,
        "problems": [{"object": one.name, "code": one.code, "message": one.message} for one in findings.problems],
        "seconds": round(context.elapsed_seconds, 3),
    }
    return events.Done(
        exit_code=error.exit_code if error is not None else 0,
        result=result,
        warnings=context.warnings,
        error=error_fields(error) if error is not None else None,
    )
