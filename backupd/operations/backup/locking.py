"""After a run: what its snapshot needs stays locked where a place locks objects. What fails here fails no run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backupd.cache import known_locks
from backupd.destination.contract import Forwarding
from backupd.errors import BackupError, StoppedError
from backupd.model import events
from backupd.operations.backup.part import Part
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.summary import followed_up
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace
from backupd.repository.index_loading import LoadedIndex
from backupd.repository.keeping_locked import LockKeeping
from backupd.rules import moments
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import LocksFailedError


def after_run(context: JobContext, parts: Parts, started_ns: int, done: events.Done) -> events.Done:
    """How the run ended, with what its places have locked; the set's lock is held."""
    locking = [part for part in parts.committed if part.alarm is None and is_locking(part.place)]
    if not locking:
        return done
    context.step("extend locks")
    failed: LocksFailedError | None = None
    entries: dict[int, dict[str, Any]] = {}
    for part in locking:
        try:
            entries[part.number] = {"locked": _keep_locked(context, part, started_ns), "locks_error": None}
        except StoppedError as error:
            # The snapshot stands, and the next run does what this one left.
            context.warn(f"{error.message}; not all locks were extended")
            stopped = {"locked": None, "locks_error": error_fields(locks_failed(error))}
            entries |= {one.number: stopped for one in locking if one.number not in entries}
            break
        except BackupError as error:
            failed = failed or locks_failed(error)
            context.warn(failed.message)
            entries[part.number] = {"locked": None, "locks_error": error_fields(failed)}
    return followed_up(done, context, entries, failed)


def is_locking(place: OpenPlace) -> bool:
    """Whether what is created there is locked."""
    return Forwarding(place.whole).lock_rule is not None


def locks_failed(error: BackupError) -> LocksFailedError:
    """Of what kept locks from being extended."""
    message = f"the snapshot is whole, but not all that it needs is locked for long enough: {error.message}"
    return LocksFailedError(message, hint=error.hint or "the next run tries again")


def _keep_locked(context: JobContext, part: Part, started_ns: int) -> dict[str, Any] | None:
    if part.snapshot is None:
        raise AssertionError("what is committed has a snapshot")
    is_first = part.base.newest is None and not part.base.caches
    return keep_locked(context, part.place, part.index, part.snapshot, part.sizes, started_ns, is_first=is_first)


def keep_locked(
    context: JobContext,
    place: OpenPlace,
    index: LoadedIndex,
    snapshot: Snapshot,
    stored: Iterable[bytes],
    started_ns: int,
    *,
    relied: Iterable[bytes] = (),
    is_first: bool = False,
) -> dict[str, Any] | None:
    """Extend locks as LockKeeping.extend does, and how that is told. Raises BackupError."""

    def tick() -> None:
        context.cancel.check()
        context.wait_while_paused()

    path = known_locks.path_of(place.cache, naming.set_id_text(snapshot.set_id))
    keeping = LockKeeping(place.repository, index, path, context.clock.now_ns(), tick)
    root, segments = snapshot.root, place.segments()
    found = keeping.extend(root, segments, stored, started_ns, relied=relied, is_first=is_first)
    if found is None:
        return None
    return {
        "mode": found.rule.mode,
        "days": found.rule.days,
        "extended": found.count,
        "until": moments.rfc3339(found.until_ns, context.zone),
    }
