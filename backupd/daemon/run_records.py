"""What the catalog keeps of a job at each destination, for `status` and reports; pure."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import deciding, purging
from backupd.daemon.outcome import Outcome
from backupd.daemon.requests import JobRequest
from backupd.errors import DamageError
from backupd.model.jobs import ended_state
from backupd.model.traffic import Traffic

_OF_CHECK = ("snapshots", "blocks", "chunks", "bytes_read", "seconds", "files_hit_count")
_OF_RESTORE = ("files", "bytes", "snapshot")
"""What is kept of a result; its lists of paths stay with the job."""
_DECIDED = (0, DamageError.exit_code)
"""A check that was to carry a decision out, and did."""


def run_of(
    job: StoredJob,
    stored: StoredSet,
    destination: StoredDestination,
    outcome: Outcome,
    facts: dict[str, Any],
    times_ns: tuple[int, int],
) -> StoredRun:
    """A run as the catalog keeps it. times_ns: its begin and end."""
    return StoredRun(
        job_id=job.id,
        set_id=stored.id,
        destination_id=destination.id,
        destination_name=destination.text.name,
        kind=job.kind,
        state=ended_state(outcome.exit_code, outcome.problem_count),
        snapshot=facts.get("snapshot"),
        exit_code=outcome.exit_code,
        started_ns=times_ns[0],
        finished_ns=times_ns[1],
        facts=msgspec.to_builtins(facts),
    )


def backup_facts(outcome: Outcome) -> dict[str, Any]:
    """The run as in `result.runs[]`, with its error."""
    runs = (outcome.result or {}).get("runs") or []
    cost = {"traffic": outcome.traffic[0]} if not runs and outcome.traffic else {}
    return {**(runs[0] if runs else cost), "exit": outcome.exit_code, "error": outcome.error}


def other_facts(request: JobRequest, outcome: Outcome) -> dict[str, Any]:
    """The same of any other job."""
    result = outcome.result or {}
    facts = {name: result[name] for name in (*_OF_CHECK, *_OF_RESTORE) if name in result}
    if request.free is not None:
        facts |= {name: result[name] for name in ("freed_bytes", "before", "after", "statistics") if name in result}
    if request.purge is not None and "counts" in result:
        counts = result["counts"]
        facts["is_emptied"] = purging.is_done(outcome) and not counts["kept"] and not counts["rewritten"]
    if request.check is not None:
        is_whole = request.check.crc and request.check.share_permille is None
        facts |= {name: result[name] for name in ("coverage", "trigger") if name in result}
        facts |= {"crc": is_whole, "has_read": request.check.crc, "problems": len(result.get("problems") or [])}
        facts |= deciding.facts_of(result, request.check.decided if outcome.exit_code in _DECIDED else "")
        if result.get("areas"):
            facts["statistics"] = result["areas"]
    if request.replicate is not None:
        facts |= {name: result[name] for name in ("from", "to", "created") if name in result}
    cost = result.get("traffic") or (outcome.traffic[-1] if outcome.traffic else None)
    if cost is not None:
        # Of a replication what the place cost that was copied to: the run is kept there.
        facts["traffic"] = cost["to"] if isinstance(cost, dict) and "to" in cost else cost
    return {**facts, "exit": outcome.exit_code, "error": outcome.error}


def traffic_of(run: StoredRun) -> Traffic | None:
    """What a kept run cost its destination, where it told that."""
    entries = [one for one in run.facts.get("destinations") or [] if isinstance(one, dict)]
    told = next((one["traffic"] for one in (*entries, run.facts) if "traffic" in one), None)
    try:
        return Traffic.of(told) if told is not None else None
    except msgspec.ValidationError:
        return None
