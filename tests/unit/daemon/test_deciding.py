"""Which checks count, and what of theirs waits for somebody: one too many, and nobody is asked, or twice."""

from __future__ import annotations

from typing import Any

import pytest

from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import deciding
from backupd.daemon.outcome import Outcome
from backupd.store_errors import DecisionOutdatedError

_JOB = "j" + "1" * 32


def _run(number: int, exit_code: int, kind: str = "check", **facts: Any) -> StoredRun:
    return StoredRun(
        job_id=f"j{number}",
        set_id="b1",
        destination_id="d1",
        destination_name="usb",
        kind=kind,
        state="completed",
        snapshot=None,
        exit_code=exit_code,
        started_ns=number,
        finished_ns=number,
        facts=facts,
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (_run(1, 0, snapshots=3), True),
        (_run(1, 20, snapshots=3), True),
        (_run(1, 17, snapshots=3), True),
        (_run(1, 20, snapshots=0), True),
        (_run(1, 0, snapshots=3, kind="verify"), False),
        (_run(1, 20, snapshots=0, trigger="rolling"), False),
        (_run(1, 20, snapshots=2, trigger="rolling"), True),
        (_run(1, 11, snapshots=3), False),
        (_run(1, 15), False),
        (_run(1, 5, snapshots=3), False),
        (_run(1, 143, snapshots=3), False),
        (_run(1, 0, snapshots=3, kind="backup"), False),
    ],
)
def test_what_counts_as_a_finished_check(run: StoredRun, expected: bool) -> None:
    """One that was stopped, skipped, or read nothing but a share, puts the next periodic one off for a week."""
    assert deciding.is_finished_check(run) is expected


def test_the_last_finished_check_decides_who_is_asked() -> None:
    """An unreachable disk in between takes no question back; a check that found nothing does."""
    waits = _run(1, 20, snapshots=1, undecided={"files": 5, "bytes": 6})
    assert deciding.undecided([waits], frozenset()) == waits
    assert deciding.undecided([waits, _run(2, 15)], frozenset()) == waits
    assert deciding.undecided([waits], frozenset({"j1"})) is None
    assert deciding.undecided([waits, _run(2, 0, snapshots=1)], frozenset()) is None
    assert deciding.undecided([], frozenset()) is None


def _job(kind: str = "check", **result: Any) -> StoredJob:
    return StoredJob(
        id=_JOB, kind=kind, state="failed", set_id="b1", set_name="s", orders=b"", caller_uid=0, created_ns=0,
        result=result or None,
    )  # fmt: skip


def test_only_what_is_open_can_be_applied() -> None:
    """Else a job that gave up already, or never looked, stands for a decision."""
    waits, found = ({"state": state, "plan": "p1"} for state in ("waits", "found"))
    assert deciding.plan_of(_job(decisions=[waits]), frozenset()) == "p1"
    assert deciding.plan_of(_job(decisions=[found]), frozenset()) == "p1"
    for job in (_job(), _job(decisions=[]), _job(decisions=[{"state": "given_up"}]), _job("backup", decisions=[waits])):
        with pytest.raises(DecisionOutdatedError):
            deciding.plan_of(job, frozenset())
    with pytest.raises(DecisionOutdatedError):
        deciding.plan_of(_job(decisions=[waits]), frozenset({_JOB}))


def test_the_commands_name_the_job() -> None:
    """A person at the terminal copies them."""
    error = {"code": "damage.found", "message": "m", "hint": "h"}
    waits = {"state": "waits", "command": "bare"}
    told = deciding.with_commands(Outcome(exit_code=20, result={"decisions": [waits]}, error=error), _JOB)
    assert told.result is not None
    assert told.result["decisions"] == [{"state": "waits", "command": "bkctl check --apply j11111111"}]
    assert "bkctl check --discard j11111111" in (told.error or {})["hint"]
    good = Outcome(exit_code=0, result={"decisions": []})
    assert deciding.with_commands(good, _JOB) == good
