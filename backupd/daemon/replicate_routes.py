"""The API's way to copy snapshots from one destination to another."""

from __future__ import annotations

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import RUNNERS
from backupd.daemon.job_routes import view
from backupd.daemon.requests import JobRequest
from backupd.daemon.route import Call, Route
from backupd.errors import ConflictError, RepositoryNotFoundError, UsageError
from backupd.model.api import Started, StartReplicate
from backupd.model.jobs import JobView
from backupd.model.places import inside


async def start_replicate(call: Call) -> Started:
    """Queue a replication of each set from the one destination to the other."""
    order = call.body.order
    known, jobs = call.services.definitions, call.services.jobs
    old, new = known.destination(order.place), known.destination(order.to)
    if old.id == new.id:
        raise UsageError(f"{old.text.name} is named twice", hint="--to names the destination that is to get the copy")
    started: list[JobView] = []
    for one, found in _wanted(known, order.set_names, old, new):
        placed = msgspec.structs.replace(
            order,
            place=inside(old.text.place, found.repository),
            to=new.text.place,
            from_name=old.text.name,
            to_name=new.text.name,
            set_names=[found.stored_set_id],
            interactive=False,
            caller=None,
        )
        request = JobRequest(kind="replicate", replicate=placed)
        made = await jobs.add(request, set_id=one.id, set_name=one.text.name, uid=call.peer.uid)
        started.append(view(made.stored, call))
    return Started(jobs=started)


def _wanted(
    known: Definitions, words: list[str], old: StoredDestination, new: StoredDestination
) -> list[tuple[StoredSet, StoredRepository]]:
    """The sets to copy and where they are, all before any is queued: the call does all of it or nothing."""
    named = list({one.id: one for one in map(known.set, words)}.values())
    wanted: list[tuple[StoredSet, StoredRepository]] = []
    for one in named or known.sets:
        found = known.repository(one.id, old.id)
        if found is not None:
            there = known.repository(one.id, new.id)
            if there is not None and there.repository != found.repository:
                raise ConflictError(
                    f"{one.text.name} has another repository at {new.text.name} than at {old.text.name}",
                    hint="only copies of one repository can take snapshots from each other",
                )
            wanted.append((one, found))
        elif named:
            raise RepositoryNotFoundError(
                f"nothing of {one.text.name} is stored in {old.text.name}",
                hint=f"bkctl set show {one.text.name} says where it is",
            )
    if not wanted:
        raise RepositoryNotFoundError(f"no set is stored in {old.text.name} yet", hint="bkctl backup --all")
    return wanted


ROUTES = [
    Route(
        "POST",
        "/v1/replications",
        "destination replicate",
        RUNNERS,
        StartReplicate,
        Started,
        start_replicate,
        "Copy snapshots from one destination to another.",
    ),
]
