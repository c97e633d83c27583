"""The quota of the account at one destination of a run, and what is told of it (docs/operations.md, Space)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backupd.cache import largest_sizes
from backupd.cancel import Cancel
from backupd.chunk.identity import node_key
from backupd.durable_io import remove_leftovers
from backupd.errors import (
    AccessError,
    BackupError,
    DamageError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
    StateError,
    StateFullError,
)
from backupd.model.quotas import MOST_BYTES, AccountLimit
from backupd.operations.backup.held_sources import HeldSources
from backupd.operations.backup.space import warning_of
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_reader
from backupd.repository.index_loading import LoadedIndex
from backupd.settings.directories import ensure
from backupd.sizes import format_bytes
from backupd.snapshot.naming import parse_snapshot_name
from backupd.snapshot.records import Snapshot
from backupd.store_errors import AccountQuotaError


class AccountCount:
    """Counts what the snapshots at one destination hold, at the begin of a run and again when it has committed."""

    def __init__(self, place: OpenPlace, index: LoadedIndex, context: JobContext, cancel: Cancel) -> None:
        self._place, self._context, self._cancel = place, context, cancel
        self._path = sizes_path(place)
        key = node_key(place.repository.keyring.chunk_id_key)
        self._held = HeldSources(largest_sizes.load(self._path), key, open_reader(place, index).load)

    @property
    def held_bytes(self) -> int:
        """As far as it was counted."""
        return min(self._held.sizes.total_bytes, MOST_BYTES)

    def begin(self) -> None:
        """Count what is there. Raises DestinationError; StoppedError where the run is to end."""
        held = self._held
        remove_leftovers(os.path.dirname(self._path))
        names = self._place.records.snapshot_names()
        if not held.covers(names):
            self._context.step("count what the account holds")
            held.count_all(names, self._fetch, self._cancel.check)
            self._save()
        doubtful = held.unread + len(held.sizes.partly)
        if doubtful:
            count = "1 snapshot" if doubtful == 1 else f"{doubtful} snapshots"
            self._context.warn(f"{count} can't be read whole: not all that the account holds is counted")

    def commit(self, name: str, snapshot: Snapshot) -> None:
        """Add what was committed. It stands: what fails here the next run does."""
        parsed = parse_snapshot_name(name)
        if parsed is None:
            raise AssertionError("a run's snapshot has a snapshot's name")
        try:
            self._held.count(parsed, snapshot, self._fetch, self._cancel.check)
        except BackupError as error:
            self._context.warn(f"{error.message}; the next run counts what the account holds")
        else:
            self._save()

    def _fetch(self, name: str) -> Snapshot | None:
        try:
            return self._place.records.snapshot(name)
        except (DamageError, ObjectMissingError, KeyMissingError, NewerVersionError):
            return None

    def _save(self) -> None:
        try:
            self._held.sizes.save(self._path)
        except (StateFullError, StateError, AccessError) as error:
            self._context.warn(f"{error.message}; the next run counts anew what the account holds")


def sizes_path(place: OpenPlace) -> str:
    """The file of largest sizes of a repository at a place."""
    return os.path.join(ensure(os.path.join(place.cache, "account")), "largest.sizes")


def refuse(limit: AccountLimit | None, counted: Mapping[int, int]) -> None:
    """Before anything is sent. counted: bytes by the number of the place in the order. Raises AccountQuotaError."""
    if limit is None:
        return
    own = max(counted.values(), default=0)
    used = _used(limit, counted)
    if used >= limit.quota_bytes:
        raise AccountQuotaError(
            f"the quota of the account is reached: {format_bytes(used)} of {format_bytes(limit.quota_bytes)}",
            hint="raise it (bkctl config set account_quota SIZE), or forget a set; what is stored stays",
            context={"quota_bytes": limit.quota_bytes, "used_bytes": used, "account_bytes": own},
        )


def warning(limit: AccountLimit | None, counted: Mapping[int, int]) -> str | None:
    """What is told at the end of a run of a quota that is nearly used up."""
    if limit is None:
        return None
    used = _used(limit, counted)
    text = warning_of("quota of the account", used, limit.quota_bytes)
    return f"{text}; the next run is refused" if text is not None and used >= limit.quota_bytes else text


def _used(limit: AccountLimit, counted: Mapping[int, int]) -> int:
    """Of several destinations of a set the one counts that holds most; of one that is away, what was told last."""
    own = {**dict(enumerate(limit.told_bytes)), **counted}
    return limit.others_bytes + max([limit.elsewhere_bytes, *own.values()])
