"""The API's verbs on destinations."""

from __future__ import annotations

from backupd.catalog.definitions import StoredDestination
from backupd.daemon import seeding
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ADMINS, EVERYONE
from backupd.daemon.key_watching import caller, tell_credentials
from backupd.daemon.route import Call, Route
from backupd.model.api import Change, DestinationChange, DestinationList, DestinationView, EditDestination
from backupd.rules.definition_rules import check_destination
from backupd.rules.option_policy import by_policy, refuse


def view(stored: StoredDestination, known: Definitions) -> DestinationView:
    """A destination as the API shows it."""
    users = [one.text.name for one in known.users_of(stored)]
    awaited = known.seedings.get(stored.id)
    return DestinationView(
        id=stored.id,
        text=stored.text,
        file=stored.file,
        created_ns=stored.created_ns,
        sets=users,
        seeding=seeding.view(awaited, known.sets) if awaited is not None else None,
    )


async def list_destinations(call: Call) -> DestinationList:
    """All destinations."""
    known = call.services.definitions
    return DestinationList(destinations=[view(one, known) for one in known.destinations])


async def show_destination(call: Call) -> DestinationView:
    """One destination."""
    known = call.services.definitions
    return view(known.destination(call.path["destination"]), known)


async def add_destination(call: Call) -> DestinationChange:
    """Make a destination."""
    known, edit = call.services.definitions, call.body
    policy = call.services.configuration.policy
    text = by_policy(edit.text, "destinations", policy, edit.said, check_destination)
    made = await known.add_destination(text, dry_run=edit.dry_run)
    return DestinationChange(destination=view(made, known), change=Change(changed=True, dry_run=edit.dry_run))


async def edit_destination(call: Call) -> DestinationChange:
    """Give a destination a new text."""
    known, edit = call.services.definitions, call.body
    stored = known.destination(call.path["destination"])
    refuse(check_destination(edit.text), "destinations", call.services.configuration.policy, stored.text)
    made, changes = await known.change_destination(
        stored, edit.text, dry_run=edit.dry_run, place_anew=edit.place_anew
    )
    change = Change(changed=bool(changes), diff=changes, dry_run=edit.dry_run)
    if not edit.dry_run:
        await tell_credentials(call.services.notices, {f"destination/{made.text.name}": changes}, caller(call))
    return DestinationChange(destination=view(made, known), change=change)


async def remove_destination(call: Call) -> Change:
    """Forget a destination; what is stored there stays."""
    known = call.services.definitions
    await known.remove_destination(known.destination(call.path["destination"]))
    return Change(changed=True)


_ONE = "/v1/destinations/{destination}"

ROUTES = [
    Route(
        "GET",
        "/v1/destinations",
        "destination list",
        EVERYONE,
        None,
        DestinationList,
        list_destinations,
        "List destinations.",
    ),
    Route(
        "POST",
        "/v1/destinations",
        "destination add",
        ADMINS,
        EditDestination,
        DestinationChange,
        add_destination,
        "Make a destination.",
    ),
    Route(
        "GET", _ONE, "destination show", EVERYONE, None, DestinationView, show_destination, "Show a destination."
    ),
    Route(
        "PUT",
        _ONE,
        "destination edit",
        ADMINS,
        EditDestination,
        DestinationChange,
        edit_destination,
        "Change a destination.",
    ),
    Route(
        "DELETE", _ONE, "destination remove", ADMINS, None, Change, remove_destination, "Forget a destination."
    ),
]
