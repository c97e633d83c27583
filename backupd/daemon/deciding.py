"""What a check would give up as lost and somebody has to decide about: kept with its job, shown by `status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.database import Connection
from backupd.catalog.facts import fact, put_fact
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon.outcome import Outcome
from backupd.errors import BusyError
from backupd.model.decisions import CheckDecision, DecisionState
from backupd.rules import names
from backupd.store_errors import DecisionOutdatedError

Discarded = frozenset[str]
"""Jobs whose losses nobody wants to be given up."""


class Discard(NamedTuple):
    """That somebody wants nothing to be given up of what a check found."""

    job: str
    plan: str
    at_ns: int


_UNFINISHED = (5, BusyError.exit_code, 75, 130, 143)
_OPEN, _UNDECIDED, _SETTLED = ("found", "waits"), "undecided", "settled"


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


def facts_of(result: dict[str, Any], decided: str) -> dict[str, Any]:
    """What the catalog keeps with a check's run: what waits for a decision, what was settled, what is given up.

    decided: the plan that the check was to carry out, where it did not end for being out of date.
    """
    decisions, facts = _decisions(result), dict[str, Any]()
    if result.get("skipped") or not result.get("snapshots"):
        # It looked at nothing of the set, whatever else it found: that settles nothing.
        return {}
    waiting = [one for one in decisions if one.get("state") == "waits"]
    if waiting:
        facts[_UNDECIDED] = {**_sums(waiting), "plan": _plan(waiting)}
    lost = [one for one in decisions if one.get("state") == "given_up"]
    plans = {decided, *(one.get("plan") for one in lost)} - {"", *(one.get("plan") for one in waiting)}
    if plans:
        facts[_SETTLED] = {**_sums(lost), "plans": sorted(map(str, plans)), "is_given_up": bool(lost)}
    if "given_up" in result:
        # A daemon's check is of one set.
        facts["given_up"] = next(iter(result["given_up"]), None)
    return facts


def decision_of(job: StoredJob, run: StoredRun, later: Sequence[StoredRun], noted: Discard | None) -> CheckDecision:
    """How it stands with what a check's job found lost.

    later: checks of the same set at the same destination that ended after it, in the order of their ends. noted: what
    was discarded there last.
    """
    found = _open(_decisions(job.result)) if job.kind == "check" else []
    sums = _sums(found)
    about = CheckDecision(
        job=job.id,
        set=job.set_name,
        destination=run.destination_name,
        state="open" if found else "none",
        files=sums["files"],
        bytes=sums["bytes"],
    )
    if not found:
        return about
    plan = _plan(found)
    for one in later:
        told = one.facts.get(_SETTLED) or {}
        if plan in told.get("plans", ()):
            names_of = ("files", "bytes", "is_given_up")
            decided = msgspec.structs.replace(about, **{name: told[name] for name in names_of})
            return _settled(decided, "applied", one.finished_ns, one.job_id)
    if noted is not None and _covers(noted, job.id, plan, run.finished_ns):
        return _settled(about, "discarded", noted.at_ns or None)
    checks = [one for one in later if is_finished_check(one) and one.facts.get("snapshots")]
    # What was found in the bytes themselves, only who reads all of them misses for being whole.
    if checks and not checks[-1].exit_code and (checks[-1].facts.get("crc") or not run.facts.get("has_read", True)):
        return _settled(about, "healed", checks[-1].finished_ns, checks[-1].job_id)
    return about


def _covers(noted: Discard, job: str, plan: str, finished_ns: int) -> bool:
    """Whether it was said of this check, or later of just what this one found."""
    return noted.job == job or (noted.plan == plan != "" and noted.at_ns > finished_ns)


def _settled(about: CheckDecision, state: DecisionState, at_ns: int | None, by: str | None = None) -> CheckDecision:
    return msgspec.structs.replace(about, state=state, decided_ns=at_ns, by=by)


def read_decision(connection: Connection, job: StoredJob, run: StoredRun) -> CheckDecision:
    """The same from the catalog."""
    return decision_of(job, run, rows.checks_after(connection, run), _noted(connection, run))


def open_plan(job: StoredJob, decision: CheckDecision) -> str:
    """The plan that a check's job left to be decided about. Raises DecisionOutdatedError where nothing is left."""
    short, by = names.short(job.id), names.short(decision.by or "")
    if decision.state == "open":
        return _plan(_open(_decisions(job.result)))
    if decision.state == "discarded":
        raise DecisionOutdatedError(f"job {short} was discarded", hint="check again: bkctl check SET")
    message = {
        "applied": f"what job {short} found was settled by job {by}: nothing is left to decide",
        "healed": f"job {by} found nothing lost any more: nothing is left to decide",
    }.get(decision.state, f"job {short} left nothing to decide")
    raise DecisionOutdatedError(message, hint="bkctl status shows what needs a decision")


def discard(connection: Connection, job: StoredJob, run: StoredRun, now_ns: int) -> None:
    """Note that what this check found is not to be given up; the last one of a set at a destination is kept."""
    put_fact(connection, _key(run), f"{job.id} {_plan(_open(_decisions(job.result)))} {now_ns}")


def discarded(connection: Connection, runs: Sequence[StoredRun]) -> Discarded:
    """Those of these runs whose losses are not to be given up."""
    waiting = [run for run in runs if _UNDECIDED in run.facts]
    noted = [(run, _noted(connection, run)) for run in waiting]
    return frozenset(
        run.job_id
        for run, last in noted
        if last is not None and _covers(last, run.job_id, run.facts[_UNDECIDED].get("plan", ""), run.finished_ns)
    )


def undecided(here: Sequence[StoredRun], discarded: Discarded) -> StoredRun | None:
    """The check that waits for a decision. here: runs at one destination, in the order of their ends."""
    checks = [run for run in here if is_finished_check(run) and run.facts.get("snapshots")]
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


def _plan(found: Sequence[dict[str, Any]]) -> str:
    return str(found[0].get("plan") or "")


def _sums(decisions: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(one.get(name, 0) for one in decisions) for name in ("files", "bytes")}


def _noted(connection: Connection, run: StoredRun) -> Discard | None:
    """What was discarded last of a run's set at its destination."""
    words = (fact(connection, _key(run)) or "").split(" ")
    if len(words) == 3 and words[2].isdigit():
        return Discard(words[0], words[1], int(words[2]))
    # As it was noted before plan and time were.
    return Discard(words[0], "", 0) if words[0] else None


def _key(run: StoredRun) -> str:
    return f"discarded {run.set_id} {run.destination_id}"
