"""Snapshots go: first their names become void, then the objects go that no posted session is based on (DESIGN 8.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from backupd.errors import (
    DamageError,
    DestinationRefusedError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
)
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot.records import Drop
from backupd.store_errors import ObjectLockedError

PURGE_REASON = "purge"
"""First line of the reason in a drop record that a purge wrote."""
REWRITE: Final = "rewrite"
"""Its last line where another snapshot stands in for those that are dropped."""
CUT_ANEW = "cut and stored anew"
"""The reason of a migration, which stores a snapshot anew."""
_TOGETHER = "drop records put together"
_MERGED_FROM = 8
_NAMES_MOST = 100_000
"""Of a record that is written here: 10 MiB at most. Larger ones are left alone."""


def drop_snapshots(records: Records, names: list[str], now_ns: int, host_id: bytes, reason: str) -> int:
    """Make names void by one record, then delete what nobody builds on; returns how many objects were deleted.

    A crash after the record leaves objects that count for nothing. names: at least one.
    """
    records.drop(Drop(names, now_ns, host_id, reason))
    return delete_void(records, names)


def is_meant(records: Records, name: str, ours: str) -> bool:
    """Whether somebody dropped a snapshot for what it holds, or because another one stands in for it than ours.

    Not where who dropped it took over what stands in, or does not say why: one snapshot too many is no loss. ours: the
    line by which such a reason is known.
    """
    for drop in records.readable_drops().values():
        lines = drop.reason.split("\n")
        is_ours = drop.reason == _TOGETHER or (ours in lines and lines[-1] in (CUT_ANEW, REWRITE))
        if name in drop.names and not is_ours:
            return True
    return False


def is_written_anew(records: Records, name: str) -> bool:
    """Whether another snapshot stands in for one that was dropped, as far as anybody says so."""
    reasons = (drop.reason.split("\n")[-1] for drop in records.readable_drops().values() if name in drop.names)
    return any(last in (CUT_ANEW, REWRITE) for last in reasons)


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


def merge_drops(records: Records, now_ns: int, host_id: bytes) -> int:
    """Put drop records into one where there are many, and delete them; returns how many went.

    Every run reads each of them, and they would be without end. Those of a purge go together with the others of it: by
    what they say it is known again. Only where a listing shows what was created before it: else who reads meanwhile
    finds neither the old ones nor the new one (docs/protocol.md). Raises as `Records.drops`.
    """
    if not records.is_exact:
        return 0
    by_reason: dict[str, dict[str, Drop]] = {}
    for name, drop in sorted(records.drops().items(), key=lambda item: len(item[1].names)):
        is_purge = drop.reason.partition("\n")[0] == PURGE_REASON
        alike = by_reason.setdefault(drop.reason if is_purge else _TOGETHER, {})
        if sum(len(one.names) for one in alike.values()) + len(drop.names) <= _NAMES_MOST:
            alike[name] = drop
    count = 0
    for reason, drops in by_reason.items():
        if len(drops) >= _MERGED_FROM:
            _put_together(records, drops, Drop([], now_ns, host_id, reason))
            count += len(drops)
    return count


def _put_together(records: Records, drops: Mapping[str, Drop], empty: Drop) -> None:
    names = {one for drop in drops.values() for one in drop.names}
    merged = records.drop(msgspec.structs.replace(empty, names=sorted(names)))
    # What stands there is read before the others go: nothing else says that these names are void.
    if not names <= set(records.get(ObjectKind.DROP, merged, Drop).names):
        raise DamageError(f"{merged} is not what was just stored", hint="no drop record was deleted; run bkctl check")
    for name in drops:
        records.place.delete(name)
