"""From the DEST and SET of an order to the repository that a job process opens."""

from __future__ import annotations

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.errors import DestinationNotFoundError, RepositoryNotFoundError
from backupd.repository.identity import is_id_text


def find_place(known: Definitions, word: str, set_name: str | None) -> str:
    """The place for an order. word: DEST, empty: the set's own; set_name: as people wrote it, may be another host's.

    Raises SetNotFoundError, DestinationNotFoundError, RepositoryNotFoundError: nothing was stored yet.
    """
    stored = _known_set(known, set_name)
    if word:
        destination, rest = _destination(known, word)
        if rest:
            return f"{destination.text.place}/{rest}"
        found = known.repository(stored.id, destination.id) if stored is not None else None
        if found is not None:
            return f"{destination.text.place}/{found.repository}"
        there = [one.repository for one in known.repositories if one.destination_id == destination.id]
        return f"{destination.text.place}/{there[0]}" if len(there) == 1 else destination.text.place
    if stored is None:
        stored = known.set(set_name) if set_name else _only_set(known)
    for name in stored.text.to:
        destination = known.destination(name)
        found = known.repository(stored.id, destination.id)
        if found is not None:
            return f"{destination.text.place}/{found.repository}"
    raise RepositoryNotFoundError(
        f"nothing of {stored.text.name} is stored yet", hint=f"run it first: bkctl backup {stored.text.name}"
    )


def _known_set(known: Definitions, set_name: str | None) -> StoredSet | None:
    names = {one.text.name for one in known.sets} | {one.id for one in known.sets}
    return known.set(set_name) if set_name in names and set_name is not None else None


def _only_set(known: Definitions) -> StoredSet:
    if len(known.sets) == 1:
        return known.sets[0]
    raise DestinationNotFoundError(
        f"there are {len(known.sets)} sets", hint="name the set, or a destination by --from",
        context={"candidates": [one.text.name for one in known.sets]},
    )


def _destination(known: Definitions, word: str) -> tuple[StoredDestination, str]:
    """The destination that a word names, and the repository below it where the word goes on."""
    for one in known.destinations:
        above, _, last = word.rpartition("/")
        # Nothing else below it: the daemon would read with its own rights what someone else made there.
        if above == one.text.place.rstrip("/") and is_id_text(last):
            return one, last
    return known.destination(word), ""
