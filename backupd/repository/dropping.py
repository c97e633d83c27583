"""Snapshots go: first their names become void, then the objects go that no posted session is based on (DESIGN 8.2)."""

from __future__ import annotations

from collections.abc import Iterable

from backupd.errors import (
    DamageError,
    DestinationRefusedError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
)
from backupd.repository.records import Records
from backupd.snapshot.records import Drop
from backupd.store_errors import ObjectLockedError


def drop_snapshots(records: Records, names: list[str], now_ns: int, host_id: bytes, reason: str) -> int:
    """Make names void by one record, then delete what nobody builds on; returns how many objects were deleted.

    A crash after the record leaves objects that count for nothing. names: at least one.
    """
    records.drop(Drop(names, now_ns, host_id, reason))
    return delete_void(records, names)


def delete_void(records: Records, names: Iterable[str]) -> int:
    """Delete snapshot objects whose names are void already; returns how many.

    Those that are locked, or that a posted session names as a base, stay for a later call; all do where a session can't
    be read, where the login may not delete, and where the store may show a session later than it was posted (DESIGN
    8.5): there they go with the cleaner's second look.
    """
    if not records.is_exact:
        return 0
    try:
        bases = {base for posted in records.posted() for base in posted.said.bases}
    except (DamageError, ObjectMissingError, NewerVersionError, KeyMissingError):
        # What it is based on can't be known.
        return 0
    count = 0
    for name in names:
        if name in bases:
            continue
        try:
            records.place.delete(name)
        except ObjectLockedError:
            continue
        except DestinationRefusedError:
            # A login that may only add: they count for nothing, and go with a freeing of who may delete.
            break
        count += 1
    return count
