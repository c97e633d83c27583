"""The API's way to ask what is stored: listings, single files, keys; answered while the caller waits."""

from __future__ import annotations

import re
from contextlib import nullcontext

import msgspec

from backupd.daemon.explaining import explain_order, known_sets
from backupd.daemon.gate import ACTORS, ADMINS, EVERYONE, RESTORERS, RUNNERS, WATCHERS, Role, caller_of, check
from backupd.daemon.key_watching import KeyWatch
from backupd.daemon.place_finding import find_home, find_place
from backupd.daemon.purge_routes import plan_order
from backupd.daemon.retaining import retention_order
from backupd.daemon.route import Call, Route
from backupd.daemon.seeding_routes import adopt_order, adopting
from backupd.daemon.store_access import with_access
from backupd.daemon.web_server import web
from backupd.errors import UsageError
from backupd.model.any_order import AnyOrder
from backupd.model.api import Change, Ending, Question, Reply
from backupd.model.destination_orders import (
    DestinationAdoptOrder,
    DestinationHealOrder,
    DestinationProbeOrder,
    DestinationSessionsOrder,
    DestinationTestOrder,
    DestinationUncoverOrder,
    ProxyTestOrder,
)
from backupd.model.events import Done
from backupd.model.explain_order import ExplainOrder
from backupd.model.orders import (
    BackupOrder,
    InfoOrder,
    KeyOrder,
    Order,
    RetentionOrder,
    SnapshotCatOrder,
    SnapshotDiffOrder,
    SnapshotListOrder,
    SnapshotLsOrder,
    SnapshotNoteOrder,
    SnapshotShowOrder,
    SnapshotVersionsOrder,
)
from backupd.model.purge_orders import PurgeOrder
from backupd.model.search_orders import CoverageOrder, SuggestOrder
from backupd.model.steering import Answer, CancelRequest

QUESTIONS: dict[type[Order], tuple[Role, ...]] = {
    SnapshotListOrder: EVERYONE,
    SnapshotShowOrder: EVERYONE,
    SnapshotLsOrder: EVERYONE,
    SnapshotDiffOrder: EVERYONE,
    SnapshotVersionsOrder: EVERYONE,
    SnapshotCatOrder: RESTORERS,
    InfoOrder: EVERYONE,
    DestinationProbeOrder: WATCHERS,
    DestinationTestOrder: ADMINS,
    DestinationHealOrder: ADMINS,
    DestinationSessionsOrder: ADMINS,
    DestinationUncoverOrder: ADMINS,
    DestinationAdoptOrder: ADMINS,
    RetentionOrder: RUNNERS,
    SnapshotNoteOrder: ADMINS,
    PurgeOrder: ADMINS,
    KeyOrder: ADMINS,
    BackupOrder: ADMINS,
    ProxyTestOrder: ADMINS,
    ExplainOrder: ADMINS,
    SuggestOrder: ADMINS,
    CoverageOrder: WATCHERS,
}
"""What may be asked, and by whom; who isn't admin is shown what he could have read."""

_NAME = re.compile(r"[0-9a-f]{32}")
_SNAPSHOTS = (
    SnapshotCatOrder
    | SnapshotDiffOrder
    | SnapshotLsOrder
    | SnapshotNoteOrder
    | SnapshotShowOrder
    | SnapshotVersionsOrder
)


async def ask(call: Call) -> web.StreamResponse:
    """Carry a reading order out; its events come as JSON lines, the last one is its last word."""
    question: Question = call.body
    known = call.services.definitions
    order = await with_access(known, await _placed(call, question.order))
    adopted = adopting(known, question.order) if isinstance(question.order, DestinationAdoptOrder) else None
    name = question.name if _NAME.fullmatch(question.name) else ""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    is_begun = False
    with KeyWatch(call, order) if isinstance(order, KeyOrder) else nullcontext() as watch:
        # What fails before the first event is answered as an error, not as a stream.
        async for event in call.services.queries.ask(name, call.peer.uid, order):
            if adopted is not None and isinstance(event, Done) and event.exit_code == 0:
                # Before the caller hears of it: what he was told stays so.
                await known.adopt_seeded(adopted[0].id, adopted[1].id)
            if watch is not None:
                await watch.hear(event)
            if not is_begun:
                await response.prepare(call.request)
                is_begun = True
            await response.write(msgspec.json.encode(event) + b"\n")
    if not is_begun:
        await response.prepare(call.request)
    return response


async def answer(call: Call) -> Change:
    """Answer what a question's process asks."""
    message = Answer(ask=call.body.ask, text=call.body.text)
    return Change(changed=await call.services.queries.answer(call.path["name"], call.peer.uid, message))


async def end(call: Call) -> Change:
    """End a question."""
    message = CancelRequest(signal=call.body.signal)
    return Change(changed=await call.services.queries.answer(call.path["name"], call.peer.uid, message))


_ABOUT_SETS = DestinationAdoptOrder | RetentionOrder | PurgeOrder | ExplainOrder | SuggestOrder | CoverageOrder


async def _of_sets(
    call: Call,
    order: DestinationAdoptOrder | RetentionOrder | PurgeOrder | ExplainOrder | SuggestOrder | CoverageOrder,
) -> AnyOrder:
    """What is about sets that are known here, whatever the client says of them."""
    known = call.services.definitions
    if isinstance(order, SuggestOrder | CoverageOrder):
        # Watchers are told of places and homes, and of no file of anyone's; with the daemon's rights.
        return msgspec.structs.replace(order, place="", sets=known_sets(known), caller=None)
    if isinstance(order, ExplainOrder):
        return explain_order(known, order)
    if isinstance(order, PurgeOrder):
        return await plan_order(known, order, call.peer)
    if isinstance(order, RetentionOrder):
        return await retention_order(known, order)
    return await adopt_order(known, order)


async def _placed(call: Call, order: AnyOrder) -> AnyOrder:
    """The order with the place filled in and the caller named. Raises UsageError for what is no question."""
    known = call.services.definitions
    if type(order) not in QUESTIONS:
        jobs = "/v1/backups, /v1/restores, /v1/checks or /v1/replications"
        raise UsageError("such an order is a job", hint=f"POST it to {jobs}")
    check(call.peer, QUESTIONS[type(order)])
    match order:
        case KeyOrder():
            if order.set_name is not None:
                known.set(order.set_name)
            place = find_place(known, order.place, order.set_name).place
        case DestinationProbeOrder():
            # With the daemon's rights: it is the daemon that is to reach the place.
            return DestinationProbeOrder(place=known.destination(order.place).text.place)
        case DestinationTestOrder():
            return DestinationTestOrder(place=known.destination(order.place).text.place, quick=order.quick)
        case DestinationHealOrder():
            return DestinationHealOrder(place=known.destination(order.place).text.place)
        case _ if isinstance(order, _ABOUT_SETS):
            return await _of_sets(call, order)
        case DestinationSessionsOrder() | DestinationUncoverOrder():
            return msgspec.structs.replace(order, place=known.destination(order.place).text.place, caller=None)
        case BackupOrder() | ProxyTestOrder():
            # A one-shot finds its repository at the place by itself, with the daemon's keys.
            if isinstance(order, BackupOrder):
                known.destination(order.place)
            return order
        case SnapshotListOrder():
            place, word = find_place(known, order.place, order.set_name)
            order = msgspec.structs.replace(order, set_name=word)
        case _ if isinstance(order, _SNAPSHOTS):
            place, word = await find_home(call, order.place, order.selection.set_name)
            order = msgspec.structs.replace(order, selection=msgspec.structs.replace(order.selection, set_name=word))
        case _:
            # What a repository is says nothing of anyone's files: with the daemon's rights, and its caches.
            return msgspec.structs.replace(order, place=find_place(known, order.place, None).place, caller=None)
    return msgspec.structs.replace(order, place=place, caller=caller_of(call.peer))


ROUTES = [
    Route("POST", "/v1/questions", "question ask", EVERYONE, Question, None, ask, "Ask what is stored."),
    Route("POST", "/v1/questions/{name}/answer", "question answer", ACTORS, Reply, Change, answer, "Answer it."),
    Route("POST", "/v1/questions/{name}/cancel", "question cancel", EVERYONE, Ending, Change, end, "End it."),
]
