"""From the DEST and SET of an order to the repository that a job process opens."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from backupd.catalog import jobs as rows
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.route import Call
from backupd.errors import DestinationNotFoundError
from backupd.model.places import inside, split_inside
from backupd.repository.identity import is_id_text
from backupd.rules import names
from backupd.rules.owner_rules import read_owner
from backupd.rules.picking import is_of_host


class Found(NamedTuple):
    """Where to read, and how the set is called there."""

    place: str
    set_name: str | None
    """The id in its snapshots where the set is known: it may have had another name when they were made."""


def find_place(known: Definitions, word: str, set_name: str | None) -> Found:
    """The place for an order. word: DEST, empty: the set's own; set_name: as people wrote it, may be another host's.

    Raises SetNotFoundError, DestinationNotFoundError, RepositoryNotFoundError: nothing was stored yet.
    """
    stored = _known_set(known, set_name)
    if stored is None and set_name is not None and (of_other := _of_other(known, word, set_name)) is not None:
        return of_other
    if word:
        destination, rest = _destination(known, word)
        found = known.repository(stored.id, destination.id) if stored is not None else None
        if found is not None and rest in ("", found.repository):
            return Found(inside(destination.text.place, found.repository), found.stored_set_id)
        if rest:
            return Found(inside(destination.text.place, rest), set_name)
        if found is None and stored is not None and (host := _stored_by(known, stored)):
            return Found(destination.text.place, f"{host}:{stored.text.name}")
        there = [one.repository for one in known.repositories if one.destination_id == destination.id]
        whole = destination.text.place
        return Found(inside(whole, there[0]) if len(there) == 1 else whole, set_name)
    if stored is None:
        stored = known.set(set_name) if set_name else _only_set(known)
    if (host := _stored_by(known, stored)) and not any(one.set_id == stored.id for one in known.repositories):
        return Found(known.destination(stored.text.to[0]).text.place, f"{host}:{stored.text.name}")
    return places_of(known, stored)[0]


def set_of(known: Definitions, word: str | None) -> StoredSet | None:
    """The set that SET or HOST:SET means, where it is known here."""
    stored = _known_set(known, word)
    if stored is not None or word is None:
        return stored
    host, name = names.split_host(word)
    stored = _known_set(known, name) if host is not None else None
    if stored is None:
        return None
    owner = known.owners.view(stored)
    hosts = [known.owners.name, owner.name, *owner.after]
    return stored if any(is_of_host(one, host) for one in hosts) else None


def _stored_by(known: Definitions, stored: StoredSet) -> str:
    """The machine that stores a set, or did last, where this one did not; empty: this one does."""
    owner = read_owner(stored.text.owner or "")
    former = (owner.after or [""])[0]
    return former if known.owners.is_own(stored) else owner.name or former


def _of_other(known: Definitions, word: str, set_name: str) -> Found | None:
    """HOST:SET of a set that is known here; its repository at the place is found by who opens it.

    None: it is not known, or a repository is named.
    """
    stored = set_of(known, set_name)
    if stored is None:
        return None
    host, name = names.split_host(set_name)
    if is_of_host(known.owners.name, host):
        found = find_place(known, word, stored.text.name)
        return found if found.set_name is None or ":" in found.set_name else Found(found[0], f"{host}:{found[1]}")
    destination, rest = _destination(known, word or stored.text.to[0])
    at = known.repository(stored.id, destination.id)
    if at is not None and known.owners.is_own(stored) and not rest:
        # Its history goes on there.
        return Found(inside(destination.text.place, at.repository), f"{host}:{at.stored_set_id}")
    return Found(destination.text.place, f"{host}:{name}") if not rest else None


async def find_home(call: Call, word: str, set_name: str | None) -> Found:
    """As `find_place`; a snapshot's id in place of a set is found by the run that made it."""
    known = call.services.definitions
    if not word and set_name is not None and _known_set(known, set_name) is None and names.is_id(set_name, "s"):
        run = await asyncio.wrap_future(call.services.database.read(rows.run_of_snapshot, set_name))
        found = known.repository(*run) if run is not None else None
        if found is not None:
            place = known.destination(found.destination_id).text.place
            return Found(inside(place, found.repository), set_name)
    return find_place(known, word, set_name)


def places_of(known: Definitions, stored: StoredSet) -> list[Found]:
    """Where a set is stored, its destinations in order. Raises RepositoryNotFoundError where it is nowhere yet."""
    repositories = [known.repository(stored.id, known.destination(name).id) for name in stored.text.to]
    found = [
        Found(inside(known.destination(one.destination_id).text.place, one.repository), one.stored_set_id)
        for one in repositories
        if one is not None
    ]
    if not found:
        raise known.owners.nothing_stored(stored)
    return found


def _known_set(known: Definitions, set_name: str | None) -> StoredSet | None:
    return next((one for one in known.sets if set_name in (one.text.name, one.id)), None)


def _only_set(known: Definitions) -> StoredSet:
    if len(known.sets) == 1:
        return known.sets[0]
    raise DestinationNotFoundError(
        f"there are {len(known.sets)} sets",
        hint="name the set, or a destination by --from",
        context={"candidates": [one.text.name for one in known.sets]},
    )


def _destination(known: Definitions, word: str) -> tuple[StoredDestination, str]:
    """The destination that a word names, and the repository below it where the word goes on."""
    above, last = split_inside(word)
    for one in known.destinations:
        # Nothing else below it: the daemon would read with its own rights what someone else made there.
        if above.rstrip("/") == one.text.place.rstrip("/") and is_id_text(last):
            return one, last
    return known.destination(word), ""
