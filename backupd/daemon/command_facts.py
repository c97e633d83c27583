"""What the commands around a run are told, and what their results make of the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.command_errors import CommandWarnedError
from backupd.daemon.outcome import Outcome, fields
from backupd.model.commands import BAD
from backupd.model.jobs import ended_state
from backupd.model.reports import status_of
from backupd.rules import names

_MOST_CHARACTERS = 1000
_FILES = ("seen", "new", "changed", "failed")
_BYTES = ("seen", "read", "new")


def told_of(job: StoredJob, stored: StoredSet, destinations: Sequence[str], outcome: Outcome | None) -> dict[str, str]:
    """Environment variables. destinations: names. outcome: of the run; None: it is not made yet."""
    told = {
        "SET": stored.text.name,
        "SET_ID": stored.id,
        "JOB": job.id,
        "SCHEDULE": job.schedule or "",
        "DESTINATIONS": " ".join(destinations),
    }
    if outcome is not None:
        told |= _of_outcome(outcome)
    return {f"BACKUPD_{name}": value for name, value in told.items()}


def _of_outcome(outcome: Outcome) -> dict[str, str]:
    run: dict[str, Any] = next(iter((outcome.result or {}).get("runs") or []), {})
    files, sizes, entries = run.get("files") or {}, run.get("bytes") or {}, run.get("destinations") or []
    good = [str(one["name"]) for one in entries if one.get("verdict") == "good"]
    bad = [str(one["name"]) for one in entries if one.get("verdict") != "good"]
    message = str((outcome.error or {}).get("message") or "")
    return {
        "STATUS": status_of(ended_state(outcome.exit_code, outcome.problem_count)),
        "EXIT": str(outcome.exit_code),
        "ERROR": "".join(c if c.isprintable() else " " for c in message[:_MOST_CHARACTERS]),
        "SNAPSHOT": str(run.get("snapshot") or ""),
        "DESTINATIONS_GOOD": " ".join(good),
        "DESTINATIONS_FAILED": " ".join(bad),
        "SECONDS": str(int(run.get("seconds") or 0)),
        **{f"FILES_{name.upper()}": str(files.get(name, 0)) for name in _FILES},
        **{f"BYTES_{name.upper()}": str(sizes.get(name, 0)) for name in _BYTES},
        "BYTES_STORED": str(sum(int(one.get("stored_bytes") or 0) for one in entries)),
    }


def warned(job: StoredJob, commands: Sequence[Mapping[str, Any]]) -> tuple[int, dict[str, Any]] | None:
    """Exit code and error of a run that is good as such; None: no command failed."""
    sentences = _sentences(commands)
    if not sentences:
        return None
    message = f"the backup is whole, but look: {'; '.join(sentences)}"[:_MOST_CHARACTERS]
    error = CommandWarnedError(message, hint=f"bkctl job log {names.short(job.id)} shows what it said")
    return error.exit_code, fields(error)


def with_commands(job: StoredJob, outcome: Outcome, commands: Sequence[Mapping[str, Any]]) -> Outcome:
    """How a run ended, with what became of the commands around it."""
    if not commands:
        return outcome
    found = [dict(one) for one in commands]
    told = warned(job, commands) if _is_good_else(outcome) else None
    code, error = told if told is not None else (outcome.exit_code, outcome.error)
    result = outcome.result
    runs = (result or {}).get("runs") or []
    if runs:
        result = {**(result or {}), "runs": [{**run, "exit": code, "commands": found} for run in runs]}
    elif error is not None:
        error = {**error, "context": {**(error.get("context") or {}), "commands": found}}
    # The error says it all where there is nothing else to say.
    warnings = list(dict.fromkeys([*outcome.warnings, *([] if told is not None else _sentences(commands))]))
    return msgspec.structs.replace(outcome, exit_code=code, result=result, error=error, warnings=warnings)


def _is_good_else(outcome: Outcome) -> bool:
    return outcome.exit_code == 0 or (outcome.error or {}).get("code") == CommandWarnedError.code


def _sentences(commands: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"the {one['when']} command {one['name']}: {one['message']}" for one in commands if one["status"] in BAD]
