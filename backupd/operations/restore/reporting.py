"""The result of a restore as a document."""

from __future__ import annotations

from typing import Any

from backupd.model import events
from backupd.model.results import path_fields
from backupd.operations.context import JobContext, error_fields
from backupd.operations.restore.outcome import Outcome
from backupd.operations.restore.survey import Survey
from backupd.rules import moments
from backupd.sizes import count
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot


def report(
    context: JobContext, snapshot: Snapshot, target: bytes, outcome: Outcome, survey: Survey | None
) -> events.Done:
    """The end of a restore. survey: of a dry run, else None."""
    if survey is not None:
        _take_over(context, outcome, survey)
    if outcome.changed_count:
        context.warn(f"may mix two states: {count(outcome.changed_count, 'file')} changed during the backup")
    result: dict[str, Any] = {
        "set": snapshot.set_name,
        "host": snapshot.host_name,
        "snapshot": naming.snapshot_id_text(snapshot.id),
        "time": moments.rfc3339(snapshot.started_ns, context.zone),
        **{f"target{key[4:]}": value for key, value in path_fields(target).items()},
        **outcome.counts(),
        "seconds": round(context.elapsed_seconds, 3),
        "problems": outcome.problems(),
        "dry_run": survey is not None,
        "plan": survey.steps if survey is not None else [],
    }
    error = outcome.error()
    return events.Done(
        exit_code=error.exit_code if error is not None else 0,
        result=result,
        warnings=context.warnings,
        error=error_fields(error) if error is not None else None,
    )


def _take_over(context: JobContext, outcome: Outcome, survey: Survey) -> None:
    for path, message, is_damage in survey.problems:
        outcome.note(path, "damaged" if is_damage else "unwritable", message)
    outcome.same = survey.same_count
    if survey.more_steps:
        context.warn(f"not listed: {count(survey.more_steps, 'more step')}")
