"""The API's way to delete backup data: a plan is asked for as a question, then just that plan is queued as a job."""

from __future__ import annotations

import asyncio

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ADMINS, Peer
from backupd.daemon.job_routes import view
from backupd.daemon.place_finding import find_place, set_of
from backupd.daemon.planning import unlocked
from backupd.daemon.requests import JobRequest
from backupd.daemon.route import Call, Route
from backupd.errors import UsageError
from backupd.model.api import Started, StartPurge
from backupd.model.places import split_inside
from backupd.model.purge_orders import PurgeOrder


async def start_purge(call: Call) -> Started:
    """Queue a purge at one place, of a plan that was shown."""
    known = call.services.definitions
    order = placed(known, call.body.order, call.peer)
    if not order.plan or order.dry_run:
        raise UsageError(
            "what is purged has to be shown before", hint="ask for its plan first: POST the order to /v1/questions"
        )
    stored = stored_set(known, call.body.order, order.place)
    request = JobRequest(kind="purge", purge=order)
    known.refuse_other_owner(stored.id if stored is not None else None, request.owners_verb)
    made = await call.services.jobs.add(
        request,
        set_id=stored.id if stored is not None else None,
        set_name=stored.text.name if stored is not None else None,
        uid=call.peer.uid,
    )
    return Started(jobs=[view(made.stored, call)])


async def plan_order(known: Definitions, order: PurgeOrder, peer: Peer) -> PurgeOrder:
    """What a client asks for a plan of, with the set's password. Raises UsageError for anything but a plan."""
    if not order.dry_run:
        raise UsageError("a purge is a job", hint="POST it to /v1/purges, with the plan that was shown")
    made = placed(known, order, peer)
    stored = stored_set(known, order, made.place)
    return await asyncio.to_thread(unlocked, made, stored.text) if stored is not None else made


def placed(known: Definitions, order: PurgeOrder, peer: Peer) -> PurgeOrder:
    """The order with its place, and its set by the id that it has there.

    Raises UsageError, SetNotFoundError, DestinationNotFoundError, RepositoryNotFoundError.
    """
    if order.whole or order.host_name is not None:
        if not order.place:
            raise UsageError("where is not said", hint="give --from DEST with --all and --host")
        found = find_place(known, order.place, None)
        sets: list[str] = []
    elif len(order.set_names) == 1:
        found = find_place(known, order.place, order.set_names[0])
        sets = [found.set_name or order.set_names[0]]
    else:
        raise UsageError("an order names one set", hint="bkctl purge SET makes an order for each set and destination")
    return msgspec.structs.replace(
        order, place=found.place, set_names=sets, asked_by=peer.name, interactive=False, caller=None
    )


def stored_set(known: Definitions, asked: PurgeOrder, place: str) -> StoredSet | None:
    """The set that a client's order names, where it is known here; else the first whose repository is at the place."""
    if asked.set_names:
        return set_of(known, asked.set_names[0])
    destination = known.destination_of(place)
    at = (destination.id if destination is not None else "", split_inside(place)[1])
    set_ids = (one.set_id for one in known.repositories if (one.destination_id, one.repository) == at)
    return known.find_set(next(set_ids, None))


ROUTES = [
    Route("POST", "/v1/purges", "purge", ADMINS, StartPurge, Started, start_purge, "Delete backup data."),
]
