"""Jobs: their states with the one table of transitions, and how the API shows them."""

from __future__ import annotations

from typing import Any, Literal

from backupd.model.structs import Struct

JobKind = Literal["backup", "restore", "check", "replicate", "free", "purge"]
WRITING: frozenset[JobKind] = frozenset({"backup", "replicate", "purge"})
"""What holds the lock of its set."""
JobState = Literal[
    "queued",
    "running",
    "paused",
    "completed",
    "warning",
    "interrupted",
    "interrupted_with_errors",
    "failed",
    "skipped",
    "missed",
]
ENDED: frozenset[JobState] = frozenset(
    {"completed", "warning", "interrupted", "interrupted_with_errors", "failed", "skipped", "missed"}
)

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # What is missed, a run that was due while nobody was there, was never queued.
    # A job that is cancelled while it waits was never begun.
    "queued": frozenset({"running", "interrupted", "failed", "skipped"}),
    # Queued again: the daemon restarts, the job goes on with it.
    "running": ENDED | {"paused", "queued"},
    "paused": ENDED | {"running", "queued"},
    **{state: frozenset() for state in ENDED},
}

_SKIPPED = 75
_WARNING = (3, 4, 23)
_INTERRUPTED = (5, 130, 143)


def ended_state(exit_code: int, problem_count: int = 0) -> JobState:
    """How a job that ended with this code is called in reports (FEATURES 10.1)."""
    if exit_code == 0:
        return "completed"
    if exit_code in _WARNING:
        return "warning"
    if exit_code in _INTERRUPTED:
        return "interrupted_with_errors" if problem_count else "interrupted"
    return "skipped" if exit_code == _SKIPPED else "failed"


class JobView(Struct, frozen=True, kw_only=True):
    """A job as the API shows it. Times are nanoseconds since 1970 UTC."""

    id: str
    kind: JobKind
    state: JobState
    set_name: str | None = None
    set_id: str | None = None
    caller: str = ""
    """Login name, or uid, of who asked for it."""
    schedule: str | None = None
    """Name of the schedule that asked for it."""
    created_ns: int
    """When it was queued; of a missed run: when it was due."""
    started_ns: int | None = None
    finished_ns: int | None = None
    exit_code: int | None = None
    waits_for: str = ""
    """Of a queued job: what it waits for."""
    progress: dict[str, Any] | None = None
    """As in the event, of a running job."""
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: list[str] = []


class LogLine(Struct, frozen=True, kw_only=True):
    """One line of a job's log."""

    n: int
    """From 1, without gaps."""
    time_ns: int
    severity: Literal["information", "warning", "error"]
    message: str
    step: int = 0
    """Number of the step that it belongs to, 0 before the first."""
    path: bytes | None = None
