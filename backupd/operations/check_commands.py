"""The commands that go on from a check, as they work for who asked: by a daemon's names, else by the place."""

from __future__ import annotations

import shlex

import msgspec

from backupd.errors import BackupError, SetNotFoundError
from backupd.model.known_as import KnownAs
from backupd.model.orders import CheckOrder
from backupd.operations.places import OpenPlace
from backupd.store_errors import NoSnapshotError


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


def no_snapshot(known_as: KnownAs) -> BackupError:
    """What a daemon's set ends with that has nothing to be checked: a failure for who named it alone."""
    if not known_as.is_named:
        return NoSnapshotError(f"no snapshot in {known_as.destination} yet")
    hint = f"run it first: bkctl backup {shlex.quote(known_as.set)}"
    return SetNotFoundError(f"{known_as.set} has no snapshot in {known_as.destination} yet", hint=hint)
