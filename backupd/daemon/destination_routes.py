"""The API's verbs on destinations."""

from __future__ import annotations

import msgspec

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.definition_rules import check_destination
from backupd.daemon.definitions import Definitions, diff
from backupd.daemon.gate import ADMINS, EVERYONE
from backupd.daemon.route import Call, Route
from backupd.model.api import Change, DestinationChange, DestinationList, DestinationView, EditDestination


def view(stored: StoredDestination, known: Definitions) -> DestinationView:
    """A destination as the API shows it."""
    users = [one.text.name for one in known.users_of(stored)]
    return DestinationView(
        id=stored.id, text=stored.text, file=stored.file, created_ns=stored.created_ns, sets=users
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
    if edit.dry_run:
        text = check_destination(edit.text)
        made = StoredDestination(id="d" + "0" * 32, text=text, file=None, created_ns=0)
        return DestinationChange(destination=view(made, known), change=Change(changed=True, dry_run=True))
    made = await known.add_destination(edit.text)
    return DestinationChange(destination=view(made, known), change=Change(changed=True))


async def edit_destination(call: Call) -> DestinationChange:
    """Give a destination a new text."""
    known, edit = call.services.definitions, call.body
    stored = known.destination(call.path["destination"])
    if edit.dry_run:
        difference = diff(stored.text, check_destination(edit.text))
        shown = msgspec.structs.replace(stored, text=edit.text)
        change = Change(changed=bool(difference), diff=difference, dry_run=True)
        return DestinationChange(destination=view(shown, known), change=change)
    difference = await known.change_destination(stored, edit.text)
    changed = next(one for one in known.destinations if one.id == stored.id)
    return DestinationChange(
        destination=view(changed, known), change=Change(changed=bool(difference), diff=difference)
    )


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
