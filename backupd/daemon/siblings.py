"""Where else a set is stored: what a check there may heal from."""

from __future__ import annotations

from backupd.catalog.definitions import StoredSet
from backupd.daemon.definitions import Definitions
from backupd.model.orders import SiblingPlace
from backupd.model.places import inside


def siblings_of(known: Definitions, stored: StoredSet, place: str) -> list[SiblingPlace]:
    """The set's other destinations that hold its repository, in its order. place: PLACE/ID that is checked."""
    siblings = []
    for name in stored.text.to:
        destination = known.destination(name)
        there = known.repository(stored.id, destination.id)
        other = inside(destination.text.place, there.repository) if there is not None else place
        if other != place:
            siblings.append(SiblingPlace(place=other, name=destination.text.name))
    return siblings
