"""The API's way to seed a destination from a disk and to adopt what came on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from backupd.catalog import jobs as rows
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon import seeding
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ADMINS
from backupd.daemon.job_routes import view
from backupd.daemon.planning import copy_order
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.daemon.route import Call, Route
from backupd.daemon.seeding import SeededSet, Seeding
from backupd.errors import BusyError, ConflictError, RepositoryNotFoundError, UsageError
from backupd.model.api import Change, Started, StartSeeding
from backupd.model.destination_orders import DestinationAdoptOrder
from backupd.model.jobs import JobView
from backupd.model.orders import Limits, Unlock
from backupd.model.places import inside
from backupd.model.sets import DestinationText
from backupd.settings.secrets import read_secret
from backupd.store_errors import DestinationAbsentError


async def start_seeding(call: Call) -> Started:
    """Note that the destination is seeding, then queue a copy of each set to the disk, or its first backup there."""
    asked: StartSeeding = call.body
    known, services = call.services.definitions, call.services
    destination = known.destination(call.path["destination"])
    _refuse_destination(known, asked.on)
    await asyncio.to_thread(_check_directory, asked.on)
    runs = await asyncio.wrap_future(services.database.read(rows.last_runs))
    wanted = _wanted(known, destination, asked.sets, runs)
    for one in wanted:
        known.owners.refuse_others(one, "store")
        busy = services.jobs.is_busy(one.id)
        if busy is not None:
            raise BusyError(
                f"job {busy.stored.id[:9]} of {one.text.name} is under way",
                hint=f"wait for its end, or end it: bkctl job cancel {busy.stored.id[:9]}",
                context={"job": busy.stored.id, "set": one.text.name},
            )
    sources = {one.id: seeding.source_of(one, destination, known.repositories, runs) for one in wanted}
    seeded = {one.id: _seeded(known, one) for one in wanted}
    now_ns = services.clock.now_ns()
    await known.begin_seeding(destination, Seeding(place=asked.on, since_ns=now_ns, sets=seeded))
    started: list[JobView] = []
    for one in wanted:
        source = sources[one.id]
        if source is None:
            request = JobRequest(kind="backup", backup=BackupRequest(to=[destination.id], seed_place=asked.on))
        else:
            old = next(found for found in known.destinations if found.id == source.destination_id)
            disk = DestinationText(name=asked.on, place=asked.on)
            limits = Limits(jobs=one.text.jobs, polite=one.text.polite)
            order = copy_order(one, old, source, disk, latest=not asked.all, limits=limits)
            request = JobRequest(kind="replicate", replicate=order)
        made = await services.jobs.add(request, set_id=one.id, set_name=one.text.name, uid=call.peer.uid)
        started.append(view(made.stored, call))
    return Started(jobs=started)


async def end_seeding(call: Call) -> Change:
    """Await nothing any longer; what is on the disk, and at the destination, stays as it is."""
    known = call.services.definitions
    destination = known.destination(call.path["destination"])
    is_seeding = destination.id in known.seedings
    if is_seeding:
        await known.end_seeding(destination)
    return Change(changed=is_seeding)


def adopting(known: Definitions, order: DestinationAdoptOrder) -> tuple[StoredDestination, StoredSet, SeededSet]:
    """What an adoption is about. Raises ConflictError where nothing of that set is awaited there."""
    destination, stored = known.destination(order.place), known.set(order.set_name)
    awaited = known.seedings.get(destination.id)
    seeded = awaited.sets.get(stored.id) if awaited is not None else None
    if seeded is None:
        raise ConflictError(
            f"{destination.text.name} awaits nothing of {stored.text.name}",
            hint=f"bkctl destination seed {destination.text.name} --on DIRECTORY begins it",
        )
    return destination, stored, seeded


async def adopt_order(known: Definitions, order: DestinationAdoptOrder) -> DestinationAdoptOrder:
    """The order with place, ids and password filled in. Raises ConflictError, KeyMissingError."""
    destination, stored, seeded = adopting(known, order)
    password = stored.text.password
    secret = await asyncio.to_thread(read_secret, password) if password is not None else None
    return DestinationAdoptOrder(
        place=inside(destination.text.place, seeded.repository),
        set_name=stored.text.name,
        set_id=seeded.stored_set_id,
        sample=order.sample,
        unlock=Unlock(secret=secret),
        time_zone=stored.text.time_zone,
    )


def _wanted(
    known: Definitions, destination: StoredDestination, words: Sequence[str], runs: Sequence[StoredRun]
) -> list[StoredSet]:
    """The sets to put on the disk. Raises ConflictError, RepositoryNotFoundError."""
    name = destination.text.name
    users = known.users_of(destination)
    if not words:
        found = [one for one in users if not seeding.has_snapshot(one, destination, runs)]
        if not found:
            raise RepositoryNotFoundError(
                f"no set that goes to {name} is to be seeded: each has a snapshot there, or there is none",
                hint=f"bkctl destination show {name} says which sets go there",
            )
        return found
    named = list({one.id: one for one in map(known.set, words)}.values())
    for one in named:
        if one not in users:
            raise ConflictError(
                f"{one.text.name} is not stored in {name}", hint=f"bkctl set edit {one.text.name} --add-to {name}"
            )
        if seeding.has_snapshot(one, destination, runs):
            raise ConflictError(
                f"{one.text.name} has a snapshot at {name} already",
                hint="the next run sends only what changed; a disk would save nothing",
            )
    return named


def _seeded(known: Definitions, stored: StoredSet) -> SeededSet:
    """Under which ids the set will lie on the disk; the same as at its other destinations, as `Carrier` chooses."""
    found = next((one for one in known.repositories if one.set_id == stored.id), None)
    if found is not None:
        return SeededSet(repository=found.repository, stored_set_id=found.stored_set_id, is_first=False)
    return SeededSet(repository="r" + stored.id[1:], stored_set_id=stored.id, is_first=True)


def _check_directory(path: str) -> None:
    if not path.startswith("/"):
        raise UsageError(f"{path} is no absolute path", hint="--on names a directory of the disk")
    if not os.path.isdir(path):
        raise DestinationAbsentError(
            f"{path} is no directory: is the disk mounted?", hint="mount it, or make the directory on it"
        )


def _refuse_destination(known: Definitions, path: str) -> None:
    there = known.destination_of(path)
    if there is not None:
        raise ConflictError(
            f"{path} lies in the destination {there.text.name}",
            hint=f"copy to it with: bkctl destination replicate --from DEST --to {there.text.name}",
        )


_SEEDING = "/v1/destinations/{destination}/seeding"

ROUTES = [
    Route(
        "POST",
        _SEEDING,
        "destination seed",
        ADMINS,
        StartSeeding,
        Started,
        start_seeding,
        "Write the first copy for a destination to a disk.",
    ),
    Route(
        "DELETE",
        _SEEDING,
        "destination seed cancel",
        ADMINS,
        None,
        Change,
        end_seeding,
        "Await no disk any longer.",
    ),
]
