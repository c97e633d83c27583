"""Migration after a backup: at each destination where the run was good, by a job process of its own (FEATURES 5.1).

What fails here fails no backup: the snapshot stands, what was stored anew stays, and the run says that one should look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.job_limits import limits_of
from backupd.daemon.live_job import LiveJob
from backupd.daemon.outcome import GOOD, Outcome, fields, with_part
from backupd.daemon.planning import parity_of, unlocked
from backupd.daemon.requests import BackupRequest
from backupd.errors import BackupError, DamageError
from backupd.model.orders import Limits, MigrateOrder, RetentionOrder
from backupd.model.places import inside
from backupd.model.quotas import SpaceLimits
from backupd.model.sets import SetText
from backupd.sizes import parse_size
from backupd.store_errors import MigrationFailedError

Converse = Callable[[LiveJob, RetentionOrder | MigrateOrder], Awaitable[Outcome]]
_FACTS = ("planned", "migrated", "left", "stored_bytes", "lost_chunks", "history")


def is_migrating(text: SetText, request: BackupRequest | None) -> bool:
    """Whether a run of the set stores anew what is not stored as the set wants it now."""
    return text.deduplication != "off" and (text.migrate or (request is not None and request.migrate))


def is_due(
    known: Definitions, job: LiveJob, stored: StoredSet, destination: StoredDestination, outcome: Outcome
) -> bool:
    """Whether something is to be migrated at a destination where a run has ended, or told how much."""
    is_good = outcome.exit_code in GOOD and outcome.result is not None and job.ending is None
    is_there = known.repository(stored.id, destination.id) is not None
    request = job.request.backup
    is_wanted = request is not None and not request.estimate and is_migrating(stored.text, request)
    return is_good and is_there and is_wanted


async def after_backup(
    converse: Converse,
    known: Definitions,
    job: LiveJob,
    stored: StoredSet,
    destination: StoredDestination,
    outcome: Outcome,
    space: SpaceLimits | None,
    now_ns: int,
) -> Outcome:
    """How a run ended at a destination, with what migration came to there. space: what may be taken there."""
    repository, request = known.repository(stored.id, destination.id), job.request.backup
    if repository is None or request is None:
        return outcome
    job.begin_step(f"migrate at {destination.text.name}")
    try:
        limits = limits_of(job, stored, request, now_ns)
        order = _order_at(stored, destination, repository, limits, space)
        order = msgspec.structs.replace(order, dry_run=request.dry_run)
        found = await converse(job, await asyncio.to_thread(unlocked, order, stored.text))
    except BackupError as error:
        found = Outcome.of(error)
    return told_of(outcome, found, destination.text.name)


def _order_at(
    stored: StoredSet,
    destination: StoredDestination,
    repository: StoredRepository,
    limits: Limits,
    space: SpaceLimits | None,
) -> MigrateOrder:
    text = stored.text
    return MigrateOrder(
        place=inside(destination.text.place, repository.repository),
        set_id=repository.stored_set_id,
        compression=text.compression,
        parity=parity_of(text),
        limits=limits,
        space=space,
        time_zone=text.time_zone,
        deduplication=text.deduplication if text.deduplication != "off" else "set",
        chunk_size_bytes=parse_size(text.chunk_size) if text.chunk_size != "auto" else None,
    )


def told_of(outcome: Outcome, found: Outcome, destination: str) -> Outcome:
    """A good run at one destination, with how migration ended there. found: its end.

    Damage is told by its own code, as an alarm is; whatever else kept it from going on is one to look at.
    """
    result = found.result or {}
    entry: dict[str, Any] = {name: result.get(name) for name in _FACTS} | {"error": found.error}
    warnings = [one for one in found.warnings if one not in outcome.warnings]
    if found.exit_code == 0:
        told = with_part(outcome, destination, {"migration": entry})
        return msgspec.structs.replace(told, warnings=[*outcome.warnings, *warnings])
    reason, hint = ((found.error or {}).get(name, "") for name in ("message", "hint"))
    failed: BackupError = MigrationFailedError(f"the backup is whole, but not all was stored anew: {reason}", hint=hint)
    if found.exit_code == DamageError.exit_code:
        failed = DamageError(failed.message, hint=hint)
    told = with_part(outcome, destination, {"migration": entry}, failed.exit_code)
    error = outcome.error if outcome.error and failed.exit_code in GOOD else fields(failed)
    return msgspec.structs.replace(
        told, exit_code=failed.exit_code, error=error, warnings=[*outcome.warnings, *warnings, failed.message]
    )
