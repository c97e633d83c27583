"""Dropping snapshots: the record first, then the sessions are looked at, then the objects that none needs go (8.2)."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.errors import DamageError, ObjectMissingError
from backupd.repository.records import Records
from backupd.snapshot.records import Drop


def drop_snapshots(records: Records, names: Sequence[str], reason: str, now_ns: int, host_id: bytes) -> None:
    """Make names void for ever, and delete their objects but for those that a posted session goes on from.

    Those go with the next freeing, as all do where a session can't be read, or a listing may lag.
    """
    if not names:
        return
    records.drop(Drop([*names], now_ns, host_id, reason))
    if not records.is_exact:
        return
    bases: set[str] = set()
    for session, numbers in records.sessions().items():
        try:
            bases |= set(records.session(session, numbers[-1]).bases)
        except (DamageError, ObjectMissingError):
            # What it goes on from can't be known now.
            return
    for name in names:
        if name not in bases:
            records.place.delete(name)
