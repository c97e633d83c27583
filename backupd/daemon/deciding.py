"""What a check would give up as lost and somebody has to decide about: kept with its job, shown by `status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.catalog.database import Connection
from backupd.catalog.facts import fact, put_fact
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon.outcome import Outcome
from backupd.errors import BusyError
from backupd.rules import names
from backupd.store_errors import DecisionOutdatedError

Discarded = frozenset[str]
"""Jobs whose losses nobody wants to be given up."""
_UNFINISHED = (5, BusyError.exit_code, 75, 130, 143)
_OPEN, _UNDECIDED = ("found", "waits"), "undecided"


def with_commands(outcome: Outcome, job_id: str) -> Outcome:
    """A check's end, its decisions with the command that carries them out."""
    decisions = _decisions(outcome.result)
    if not _open(decisions):
        return outcome
    short = names.short(job_id)
    command = f"bkctl check --apply {short}"
    named = [{**one, "command": command if one.get("state") in _OPEN else None} for one in decisions]
    error = outcome.error
    if error is not None and any(one.get("state") == "waits" for one in decisions):
        error = {**error, "hint": f"give it up: {command}; or leave it as it is: bkctl check --discard {short}"}
    return msgspec.structs.replace(outcome, result={**(outcome.result or {}), "decisions": named}, error=error)


def facts_of(result: dict[str, Any]) -> dict[str, Any]:
    """What the catalog keeps with a check's run: how much waits for a decision."""
    waiting = [one for one in _decisions(result) if one.get("state") == "waits"]
    if not waiting:
        return {}
    return {_UNDECIDED: {name: sum(one.get(name, 0) for one in waiting) for name in ("files", "bytes")}}


def plan_of(job: StoredJob, discarded: Discarded) -> str:
    """The plan that a check's job left to be decided about. Raises DecisionOutdatedError."""
    if job.id in discarded:
        raise DecisionOutdatedError(f"job {names.short(job.id)} was discarded", hint="check again: bkctl check SET")
    found = _open(_decisions(job.result)) if job.kind == "check" else []
    if not found:
        raise DecisionOutdatedError(
            f"job {names.short(job.id)} left nothing to decide", hint="bkctl status shows what needs a decision"
        )
    return str(found[0].get("plan") or "")


def discard(connection: Connection, run: StoredRun) -> None:
    """Note that what this check found is not to be given up; the last one of a set at a destination is kept."""
    put_fact(connection, _key(run), run.job_id)


def discarded(connection: Connection, runs: Sequence[StoredRun]) -> Discarded:
    """Those of these runs whose losses are not to be given up."""
    waiting = [run for run in runs if _UNDECIDED in run.facts]
    return frozenset(run.job_id for run in waiting if fact(connection, _key(run)) == run.job_id)


def undecided(here: Sequence[StoredRun], discarded: Discarded) -> StoredRun | None:
    """The check that waits for a decision. here: runs at one destination, in the order of their ends."""
    checks = [run for run in here if is_finished_check(run)]
    last = checks[-1] if checks else None
    return last if last is not None and _UNDECIDED in last.facts and last.job_id not in discarded else None


def is_finished_check(run: StoredRun) -> bool:
    """Whether it is a check that came to its end, whatever it found; one that was skipped or stopped did not."""
    has_looked = "snapshots" in run.facts and (run.facts["snapshots"] or run.facts.get("trigger") != "rolling")
    return run.kind == "check" and run.exit_code not in _UNFINISHED and bool(has_looked)


def _decisions(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [one for one in (result or {}).get("decisions") or [] if isinstance(one, dict)]


def _open(decisions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in decisions if one.get("state") in _OPEN]


def _key(run: StoredRun) -> str:
    return f"discarded {run.set_id} {run.destination_id}"
