"""What was decided about what a check found lost."""

from __future__ import annotations

from typing import Any

from backupd.model.decisions import CheckDecision
from bkctl.render.given_up import lost_text, ways_to_see
from bkctl.render.times import rfc3339, shown

_SHORT_ID = 9
_NOTHING_LEFT = "Nothing is left to decide."


def question_of(decision: CheckDecision) -> str:
    """What somebody has to agree to."""
    return f"Repair {decision.set}, and give up as lost what stays of {_files(decision)}?"


def decision_lines(decision: CheckDecision) -> list[str]:
    """What was decided before, and when."""
    job, by = decision.job[:_SHORT_ID], (decision.by or "")[:_SHORT_ID]
    at = f", {shown(decision.decided_ns)}" if decision.decided_ns is not None else ""
    where = f"{decision.set} on {decision.destination}"
    if decision.is_given_up:
        return [
            f"What job {job} found was decided already: job {by} gave up {_files(decision)} of {where} as lost{at}.",
            _NOTHING_LEFT,
            ways_to_see(decision.set or "", decision.destination),
        ]
    if decision.state == "applied":
        return [f"What job {job} found was decided already: job {by} repaired {where}{at}. {_NOTHING_LEFT}"]
    if decision.state == "healed":
        return [f"Job {by} found nothing of {where} lost any more{at}. {_NOTHING_LEFT}"]
    return [f"It was discarded already{at}: nothing of what job {job} found is given up. {_NOTHING_LEFT}"]


def discarded_lines(decision: CheckDecision) -> list[str]:
    """After it was discarded."""
    return [
        f"Nothing of what job {decision.job[:_SHORT_ID]} found is given up: {_files(decision)} of {decision.set} on "
        f"{decision.destination} stay damaged, and the next check that finds them asks again."
    ]


def decision_document(decision: CheckDecision) -> dict[str, Any]:
    """As JSON output shows it."""
    return {
        "job": decision.job,
        "set": decision.set,
        "destination": decision.destination,
        "decision": decision.state,
        "decided": rfc3339(decision.decided_ns) if decision.decided_ns is not None else None,
        "by": decision.by,
        "files": decision.files,
        "bytes": decision.bytes,
    }


def _files(decision: CheckDecision) -> str:
    return lost_text(decision.files, decision.bytes)
