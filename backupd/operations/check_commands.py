"""The commands that go on from a check, as they work for who asked: by a daemon's names, else by the place."""

from __future__ import annotations

import shlex

import msgspec

from backupd.model.orders import CheckOrder
from backupd.operations.places import OpenPlace


class Commands(msgspec.Struct, frozen=True):
    """For hints; shell words."""

    check: str
    """Checks the same once more; options may follow."""
    backup: str
    """Stores again what is lost."""


def commands_of(order: CheckOrder, place: OpenPlace) -> Commands:
    """Those of a check's order."""
    if order.known_as is None:
        return Commands(f"bkctl check {place.from_words}", "bkctl once")
    set_name, destination = map(shlex.quote, (order.known_as.set, order.known_as.destination))
    return Commands(f"bkctl check {set_name} --from {destination}", f"bkctl backup {set_name}")
