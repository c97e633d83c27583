"""The API's verbs that look after what is stored: checks and freeings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import deciding
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ADMINS, RUNNERS, check
from backupd.daemon.job_routes import view
from backupd.daemon.place_finding import Found, find_place, places_of
from backupd.daemon.requests import JobRequest
from backupd.daemon.retaining import policy_at
from backupd.daemon.route import Call, Route
from backupd.daemon.siblings import siblings_of
from backupd.errors import RepositoryNotFoundError, UsageError
from backupd.model.api import Change, Nothing, StartCheck, Started, StartFree
from backupd.model.decisions import CheckDecision
from backupd.model.jobs import JobView
from backupd.model.known_as import KnownAs
from backupd.model.orders import CheckOrder, FreeOrder
from backupd.model.places import lies_in
from backupd.rules import names
from backupd.rules.owner_rules import read_owner
from backupd.store_errors import DecisionOutdatedError


async def start_check(call: Call) -> Started:
    """Queue a check of each set at each place where it is stored, or at the one that the order names."""
    order = call.body.order
    if call.body.apply:
        return await _apply(call, order)
    if order.siblings:
        # Our rights open them: only what the set itself names.
        raise UsageError(
            "a daemon repairs from the other destinations of the set, and from no other place",
            hint="leave --with out, or add it: bkctl destination add NAME PLACE; bkctl set edit SET --add-to NAME",
        )
    if order.accept_rollback:
        # Who accepts that snapshots are gone says that nobody deleted them: not for whom the alarm may be about.
        check(call.peer, ADMINS)

    known = call.services.definitions
    is_named = bool(order.set_names)
    started = await _queue(call, order, lambda one, found: _checking(known, order, one, found, is_named))
    if is_named or order.place:
        return started
    stored = {job.set_id for job in started.jobs}
    unstored = [one.text.name for one in known.sets if one.id not in stored and known.owners.is_own(one)]
    return Started(jobs=started.jobs, unstored=unstored)


def _checking(
    known: Definitions, order: CheckOrder, stored: StoredSet, found: Found, is_named: bool = True
) -> JobRequest:
    """A check of a set at a place, with the set's other destinations where it repairs."""
    destination = known.destination_of(found.place)
    names_of = [found.set_name] if found.set_name is not None else []
    # Who confirms names the set as it is called here; at the place it may have had another name.
    is_confirmed = order.confirmed is not None and order.confirmed in (stored.text.name, stored.id)
    made = msgspec.structs.replace(
        order,
        place=found.place,
        set_names=names_of,
        siblings=siblings_of(known, stored, found.place) if order.repair else [],
        confirmed=found.set_name if is_confirmed else None,
        caller=None,
        known_as=KnownAs(set=stored.text.name, destination=destination.text.name, is_named=is_named)
        if destination is not None
        else None,
    )
    return JobRequest(kind="check", check=made)


async def _apply(call: Call, order: CheckOrder) -> Started:
    """Queue what a check's job left to be decided about. Raises JobNotFoundError, DecisionOutdatedError."""
    job, run, decision = await _decided(call)
    known, plan = call.services.definitions, deciding.open_plan(job, decision)
    stored = known.set_by_id(run.set_id)
    destination = known.destination(run.destination_id)
    found = next((one for one in places_of(known, stored) if lies_in(one.place, destination.text.place)), None)
    if found is None:
        raise RepositoryNotFoundError(f"nothing of {stored.text.name} is stored in {destination.text.name}")
    made = CheckOrder(place="", unlock=order.unlock, limits=order.limits, repair=True, decided=plan)
    request = _checking(known, made, stored, found)
    queued = await call.services.jobs.add(request, set_id=stored.id, set_name=stored.text.name, uid=call.peer.uid)
    return Started(jobs=[view(queued.stored, call)])


async def show_decision(call: Call) -> CheckDecision:
    """How it stands with what a check's job found lost. Raises JobNotFoundError, DecisionOutdatedError."""
    return (await _decided(call))[2]


async def discard(call: Call) -> Change:
    """Note that what a check's job found is not to be given up. Raises JobNotFoundError, DecisionOutdatedError."""
    job, run, decision = await _decided(call)
    if decision.state in ("discarded", "healed"):
        return Change(changed=False)
    deciding.open_plan(job, decision)
    database, now_ns = call.services.database, call.services.clock.now_ns()
    await asyncio.wrap_future(database.write(deciding.discard, job, run, now_ns))
    return Change(changed=True, diff={"decision": {"from": "open", "to": "discarded"}})


async def _decided(call: Call) -> tuple[StoredJob, StoredRun, CheckDecision]:
    """A check's job that has ended, what it came to, and what was decided since."""
    services = call.services
    job = await services.jobs.find(call.body.apply if isinstance(call.body, StartCheck) else call.path["job"])
    runs = await asyncio.wrap_future(services.database.read(rows.runs_of, job.id))
    if job.kind != "check" or not runs:
        raise DecisionOutdatedError(
            f"job {names.short(job.id)} is no check that has ended", hint="bkctl status shows what needs a decision"
        )
    return job, runs[0], await asyncio.wrap_future(services.database.read(deciding.read_decision, job, runs[0]))


def _with_policy(call: Call, stored: StoredSet, order: FreeOrder) -> FreeOrder:
    """With what the set keeps there, whatever the client says."""
    known = call.services.definitions
    destination = known.destination_of(order.place)
    repository = known.repository(stored.id, destination.id) if destination is not None else None
    policy = policy_at(stored, destination) if destination is not None else None
    is_all = policy is not None and policy.keep == "all"
    if repository is None or policy is None or (is_all and not order.has_target):
        return msgspec.structs.replace(order, set_id="", policy=None)
    return msgspec.structs.replace(
        order, set_id=repository.stored_set_id, policy=policy, time_zone=stored.text.time_zone
    )


async def start_free(call: Call) -> Started:
    """Queue a freeing for each set at each place where it is stored, or at the one that the order names."""
    order, known = call.body.order, call.services.definitions
    for one in map(known.set, order.set_names if not order.dry_run else ()):
        known.owners.refuse_others(one, "free")
    if order.has_target:
        return await _start_target(call, order)

    def bare(one: StoredSet, found: Found) -> JobRequest:
        # What the set keeps there is known by its id; the job need not look for its name once more.
        given = msgspec.structs.replace(order, place=found.place, set_names=[], interactive=False, caller=None)
        return JobRequest(kind="free", free=_with_policy(call, one, given))

    return await _queue(call, order, bare)


async def _start_target(call: Call, order: FreeOrder) -> Started:
    """The same where snapshots go for their space: of one set, which nobody but an administrator decides."""
    if not order.dry_run:
        check(call.peer, ADMINS)
    known = call.services.definitions
    sets = {one.id: one for one in ([known.set(word) for word in order.set_names] or _freed(call))}
    if len(sets) > 1:
        raise UsageError(
            f"--target is about one set, and {len(sets)} are named",
            hint="each has a repository of its own: look at one after the other with --dry-run",
        )
    places = [found for one in sets.values() for found in _where(call, one, order.place, True)]
    if order.plan and len(places) > 1:
        raise UsageError(
            f"a plan is of one destination, and the set is stored at {len(places)}", hint="say which: --from DEST"
        )

    def bare(one: StoredSet, found: Found) -> JobRequest:
        name = found.set_name if found.set_name is not None else one.text.name
        given = msgspec.structs.replace(order, place=found.place, set_names=[name], caller=None)
        return JobRequest(kind="free", free=_with_policy(call, one, given))

    return await _queue(call, order, bare)


async def _queue(
    call: Call, order: CheckOrder | FreeOrder, request: Callable[[StoredSet, Found], JobRequest]
) -> Started:
    """For each set that the order names, at each of its places. Raises RepositoryNotFoundError."""
    known, jobs = call.services.definitions, call.services.jobs
    named = [known.set(word) for word in order.set_names]
    every = _freed(call) if isinstance(order, FreeOrder) else known.sets
    wanted = [(one, found) for one in named or every for found in _where(call, one, order.place, bool(named))]
    if not wanted:
        others = [one for one in known.sets if not known.owners.is_own(one)]
        if others and len(others) == len(known.sets):
            message = "no set belongs to this machine, and nothing was stored from here"
            raise RepositoryNotFoundError(message, hint="that is done where each belongs; bkctl set list")
        raise RepositoryNotFoundError("nothing is stored yet", hint="run a set first: bkctl backup --all")
    started: list[JobView] = []
    for one, found in wanted:
        made = await jobs.add(request(one, found), set_id=one.id, set_name=one.text.name, uid=call.peer.uid)
        started.append(view(made.stored, call))
    return Started(jobs=started)


def _freed(call: Call) -> list[StoredSet]:
    """Those that a freeing of all sets is about."""
    known = call.services.definitions
    return [one for one in known.sets if known.owners.is_own(one)]


def _is_stored_by_other(known: Definitions, stored: StoredSet) -> bool:
    """Whether another machine alone stored it, by whose name it is found."""
    is_named = bool(read_owner(stored.text.owner or "").name)
    is_stored = any(one.set_id == stored.id for one in known.repositories)
    return is_named and not is_stored and not known.owners.is_own(stored)


def _where(call: Call, stored: StoredSet, word: str, is_named: bool) -> list[Found]:
    """The places to look after a set at; none for one that was not named and is not stored there."""
    known = call.services.definitions
    try:
        if not word and is_named and _is_stored_by_other(known, stored):
            return [find_place(known, name, stored.text.name) for name in stored.text.to]
        if not word:
            return places_of(known, stored)
        found = find_place(known, word, stored.text.name)
        # What only other machines stored is found by its name alone, and is not looked after unasked.
        ids = {one.stored_set_id for one in known.repositories if one.set_id == stored.id}
        return [found] if is_named or found.set_name in ids else []
    except RepositoryNotFoundError:
        if is_named:
            raise
        return []


ROUTES = [
    Route("POST", "/v1/checks", "check", RUNNERS, StartCheck, Started, start_check, "Verify."),
    Route(
        "GET", "/v1/checks/{job}/decision", "check decision", RUNNERS, None, CheckDecision, show_decision,
        "How it stands with what a check found lost.",
    ),
    Route("POST", "/v1/checks/{job}/discard", "check discard", RUNNERS, Nothing, Change, discard, "Give up nothing."),
    Route("POST", "/v1/freeings", "free", RUNNERS, StartFree, Started, start_free, "Give space back."),
]
