"""The API's verbs on backup sets."""

from __future__ import annotations

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.daemon.definition_rules import check_set
from backupd.daemon.definitions import Definitions, diff
from backupd.daemon.gate import ADMINS, EVERYONE
from backupd.daemon.route import Call, Route
from backupd.errors import BusyError
from backupd.model.api import Change, EditSet, RepositoryView, SetChange, SetList, SetView


def view(stored: StoredSet, known: Definitions) -> SetView:
    """A set as the API shows it."""
    places = {one.id: one.text for one in known.destinations}
    return SetView(
        id=stored.id,
        text=stored.text,
        file=stored.file,
        created_ns=stored.created_ns,
        repositories=[
            RepositoryView(
                destination=places[one.destination_id].name,
                repository=one.repository,
                place=f"{places[one.destination_id].place}/{one.repository}",
            )
            for one in known.repositories
            if one.set_id == stored.id and one.destination_id in places
        ],
    )


async def list_sets(call: Call) -> SetList:
    """All sets."""
    known = call.services.definitions
    return SetList(sets=[view(one, known) for one in known.sets])


async def show_set(call: Call) -> SetView:
    """One set."""
    known = call.services.definitions
    return view(known.set(call.path["set"]), known)


async def create_set(call: Call) -> SetChange:
    """Make a set."""
    known, edit = call.services.definitions, call.body
    if edit.dry_run:
        text = check_set(edit.text, {one.text.name: one.text for one in known.destinations})
        made = StoredSet(id="b" + "0" * 32, text=text, file=None, created_ns=0)
        return SetChange(set=view(made, known), change=Change(changed=True, dry_run=True))
    made = await known.add_set(edit.text)
    return SetChange(set=view(made, known), change=Change(changed=True))


async def edit_set(call: Call) -> SetChange:
    """Give a set a new text."""
    known, edit = call.services.definitions, call.body
    stored = known.set(call.path["set"])
    if edit.dry_run:
        text = check_set(edit.text, {one.text.name: one.text for one in known.destinations})
        difference = diff(stored.text, text)
        shown = msgspec.structs.replace(stored, text=text)
        return SetChange(
            set=view(shown, known), change=Change(changed=bool(difference), diff=difference, dry_run=True)
        )
    difference = await known.change_set(stored, edit.text)
    changed = known.set_by_id(stored.id)
    return SetChange(set=view(changed, known), change=Change(changed=bool(difference), diff=difference))


async def remove_set(call: Call) -> Change:
    """Forget a set; what it stored stays."""
    services = call.services
    stored = services.definitions.set(call.path["set"])
    busy = services.jobs.is_busy(stored.id)
    if busy is not None:
        raise BusyError(
            f"job {busy.stored.id[:9]} of {stored.text.name} is under way",
            hint=f"bkctl job cancel {busy.stored.id[:9]}, or wait for it",
        )
    await services.definitions.remove_set(stored)
    return Change(changed=True)


ROUTES = [
    Route("GET", "/v1/sets", "set list", EVERYONE, None, SetList, list_sets, "List sets."),
    Route("POST", "/v1/sets", "set create", ADMINS, EditSet, SetChange, create_set, "Make a set."),
    Route("GET", "/v1/sets/{set}", "set show", EVERYONE, None, SetView, show_set, "Show a set."),
    Route("PUT", "/v1/sets/{set}", "set edit", ADMINS, EditSet, SetChange, edit_set, "Change a set."),
    Route("DELETE", "/v1/sets/{set}", "set delete", ADMINS, None, Change, remove_set, "Forget a set."),
]
