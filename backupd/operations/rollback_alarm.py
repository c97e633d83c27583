"""At each contact with a repository: is every snapshot still there that this host has seen (DESIGN 3, decision 16)?"""

from __future__ import annotations

import shlex

from backupd.cache import seen_snapshots
from backupd.errors import AccessError, DestinationError, RollbackError, StateError
from backupd.model import events
from backupd.operations.context import JobContext, error_fields
from backupd.repository.records import Records

_MOST_NAMED = 5
_DONE = (0, 3)


def look(context: JobContext, records: Records, seen_path: str, place: str) -> None:
    """Raise the context's alarm when a snapshot is gone that nobody dropped. seen_path: of this host's list."""
    try:
        seen = seen_snapshots.load(seen_path)
    except (AccessError, StateError) as error:
        context.warn(f"{error.message}; whether snapshots vanished can't be told")
        return
    gone = seen - {name.name for name in records.snapshot_names()} if seen else set()
    if gone:
        gone -= records.readable_void_names()[0]
    gone = {name for name in gone if is_gone(records, name)}
    if gone:
        context.alarm = alarm(sorted(gone), place)


def is_gone(records: Records, name: str) -> bool:
    """Whether a snapshot that is not listed is there no more; while a pool's member is away, that can't be told."""
    try:
        return records.place.size(name) is None
    except DestinationError:
        return False


def alarm(gone: list[str], place: str) -> RollbackError:
    """What is said of snapshots that are gone. gone: their names, in order, at least one."""
    named = ", ".join(gone[:_MOST_NAMED]) + (f" and {len(gone) - _MOST_NAMED} more" if gone[_MOST_NAMED:] else "")
    count = "1 snapshot that was" if len(gone) == 1 else f"{len(gone)} snapshots that were"
    are = "is" if len(gone) == 1 else "are"
    return RollbackError(
        f"{count} seen at {place} {are} gone, and nobody dropped {'it' if len(gone) == 1 else 'them'}: {named}",
        hint="is an older copy of that disk in its place? Ask who has access to it; if it was you, accept it with: "
        f"bkctl check --from {shlex.quote(place)} --accept-rollback",
    )


def sound(done: events.Done, context: JobContext) -> events.Done:
    """The end of an operation, with the alarm where there is one: what was done stays in the result."""
    if context.alarm is None or done.exit_code not in _DONE:
        return done
    code = context.alarm.exit_code
    result = done.result
    if "runs" in result:
        result = {**result, "runs": [{**run, "exit": code} for run in result["runs"]]}
    return events.Done(exit_code=code, result=result, warnings=done.warnings, error=error_fields(context.alarm))
