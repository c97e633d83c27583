"""When the newest snapshot of a kind began, without reading them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import groupby

from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.repository.records import Records
from backupd.snapshot.records import Snapshot


def newest_ns(records: Records, is_meant: Callable[[Snapshot], bool]) -> int | None:
    """Start of the newest readable one that is meant, unix ns; of each set no older ones than it are read."""
    found: list[int] = []
    for _, of_set in groupby(records.snapshot_names(), lambda one: one.set_id):
        for name in reversed([*of_set]):
            with suppress(KeyMissingError, DamageError, ObjectMissingError, NewerVersionError):
                snapshot = records.snapshot(name.name)
                if is_meant(snapshot):
                    found.append(snapshot.started_ns)
                    break
    return max(found, default=None)
