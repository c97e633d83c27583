"""Retention after a run without a daemon: `once --keep-days` and `--keep-jobs`. What fails here fails no run."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.errors import BackupError, StoppedError
from backupd.model import events
from backupd.model.orders import BackupOrder
from backupd.model.retention_words import policy_words
from backupd.operations.backup.part import Part
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.summary import followed_up
from backupd.operations.context import JobContext, error_fields
from backupd.repository.retaining import retain
from backupd.rules.retention.checking import check_policy
from backupd.store_errors import RetentionFailedError


def checked(order: BackupOrder) -> BackupOrder:
    """The order with its policy in the one spelling, before anything is stored. Raises ConfigError."""
    if order.retention is None:
        return order
    return msgspec.structs.replace(order, retention=check_policy(order.retention))


def after_run(
    order: BackupOrder, context: JobContext, parts: Parts, set_id: bytes, done: events.Done
) -> events.Done:
    """How the run ended, with what retention came to at each place that has its snapshot; the set's lock is held."""
    if order.retention is None or order.retention.keep == "all":
        return done
    context.step("retention")
    failed: RetentionFailedError | None = None
    entries: dict[int, dict[str, Any]] = {}
    for part in (part for part in parts.committed if part.alarm is None):
        try:
            entries[part.number] = {"retention": _retain(order, context, part, set_id)}
        except StoppedError as error:
            # The snapshot stands: what is left of the job is what the next run does as well.
            context.warn(f"{error.message}; no older snapshot was dropped")
            break
        except BackupError as error:
            message = f"the backup is whole, but no older snapshot was dropped: {error.message}"
            failed = failed or RetentionFailedError(message, hint=error.hint)
            context.warn(message)
            nothing = {"policy": "", "kept": 0, "dropped": 0, "left": 0, "error": error_fields(error)}
            entries[part.number] = {"retention": nothing}
    return followed_up(done, context, entries, failed)


def _retain(order: BackupOrder, context: JobContext, part: Part, set_id: bytes) -> dict[str, Any]:
    policy = order.retention
    if policy is None:
        raise AssertionError("retention is asked for")
    done = retain(
        part.place.records,
        set_id,
        policy,
        now_ns=context.clock.now_ns(),
        zone=context.zone,
        host_id=bytes.fromhex(context.host.host_id),
    )
    counts = {"kept": len(done.kept), "dropped": len(done.dropped), "left": len(done.left)}
    return {"policy": policy_words(policy), **counts, "error": None}
