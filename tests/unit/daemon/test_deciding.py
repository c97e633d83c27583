"""Which checks count, and what of theirs waits for somebody: one too many, and nobody is asked, or twice."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import deciding
from backupd.daemon.outcome import Outcome
from backupd.model.decisions import CheckDecision
from backupd.store_errors import DecisionOutdatedError

_JOB = "j" + "1" * 32


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database, None, None]:
    made = Database(str(tmp_path))
    yield made
    made.close()


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


_WAITS = {"state": "waits", "plan": "p1", "files": 5, "bytes": 6}


def _decided(job: StoredJob, *later: StoredRun, noted: deciding.Discard | None = None) -> CheckDecision:
    return deciding.decision_of(job, _run(1, 20, snapshots=1), later, noted)


def test_only_what_is_open_can_be_applied() -> None:
    """Else a job that gave up already, or never looked, stands for a decision."""
    for state in ("waits", "found"):
        job = _job(decisions=[{**_WAITS, "state": state}])
        decision = _decided(job)
        assert (decision.state, decision.files, decision.bytes) == ("open", 5, 6)
        assert deciding.open_plan(job, decision) == "p1"
    given_up = {**_WAITS, "state": "given_up"}
    for job in (_job(), _job(decisions=[]), _job(decisions=[given_up]), _job("backup", decisions=[_WAITS])):
        assert (_decided(job).state, _decided(job).files) == ("none", 0)
        with pytest.raises(DecisionOutdatedError):
            deciding.open_plan(job, _decided(job))


def test_what_was_decided_is_not_decided_once_more() -> None:
    """A script that applies twice, or somebody who comes late, is asked about what is settled, or gives up anew."""
    job = _job(decisions=[_WAITS])
    looked = {"snapshots": 1}
    settled = deciding.facts_of({**looked, "decisions": [{**_WAITS, "state": "given_up", "files": 3}]}, "p1")
    repaired = deciding.facts_of({**looked, "decisions": []}, "p1")
    kept = deciding.facts_of({**looked, "decisions": [_WAITS]}, "p1")
    other = deciding.facts_of({**looked, "decisions": [{**_WAITS, "state": "given_up", "plan": "p2"}]}, "")
    for nothing in ({"snapshots": 0}, {"snapshots": 3, "skipped": [{"set": "docs"}]}):
        assert deciding.facts_of({**nothing, "decisions": [], "given_up": []}, "p1") == {}, "it looked at nothing"
    good = _run(7, 0, snapshots=1, crc=True)
    cases = [
        ([_run(5, 20, snapshots=1, **settled)], None, ("applied", "j5", 3, True)),
        ([_run(5, 0, snapshots=1, **repaired)], None, ("applied", "j5", 0, False)),
        ([_run(5, 20, snapshots=1, **kept)], None, ("open", None, 5, False)),
        ([_run(5, 20, snapshots=1, **other)], None, ("open", None, 5, False)),
        ([good], None, ("healed", "j7", 5, False)),
        ([good, _run(8, 20, snapshots=1)], None, ("open", None, 5, False)),
        # Bytes that rotted are not seen by who does not read them, where they could not be recorded.
        ([_run(7, 0, snapshots=1, crc=False)], None, ("open", None, 5, False)),
        ([_run(7, 0, snapshots=0, crc=True)], None, ("open", None, 5, False)),
        ([], deciding.Discard(_JOB, "p1", 9), ("discarded", None, 5, False)),
        # Of a later check that found just the same.
        ([], deciding.Discard("j6", "p1", 9), ("discarded", None, 5, False)),
        ([], deciding.Discard("j0", "p1", 0), ("open", None, 5, False)),
        ([], deciding.Discard("j6", "p2", 9), ("open", None, 5, False)),
    ]
    for later, noted, expected in cases:
        found = _decided(job, *later, noted=noted)
        assert (found.state, found.by, found.files, found.is_given_up) == expected
        if found.state != "open":
            with pytest.raises(DecisionOutdatedError):
                deciding.open_plan(job, found)


def test_of_what_only_walked_any_check_tells_that_it_is_whole() -> None:
    job, run = _job(decisions=[_WAITS]), _run(1, 20, snapshots=1, has_read=False)
    assert deciding.decision_of(job, run, [_run(7, 0, snapshots=1, crc=False)], None).state == "healed"


def test_what_was_discarded_is_not_asked_about_by_a_check_that_found_the_same(database: Database) -> None:
    """An old message names the older check, and status the newer one."""
    jobs, runs = [], []
    for number in (1, 2):
        jobs.append(msgspec.structs.replace(_job(decisions=[_WAITS]), id=f"j{number}"))
        facts = deciding.facts_of({"snapshots": 1, "decisions": [_WAITS]}, "")
        runs.append(_run(number, 20, snapshots=1, **facts))
    database.write(deciding.discard, jobs[0], runs[0], 9).result()
    discarded = database.read(deciding.discarded, runs).result()
    assert discarded == {"j1", "j2"}
    assert deciding.undecided(runs, discarded) is None
    later = _run(10, 20, snapshots=1, **deciding.facts_of({"snapshots": 1, "decisions": [_WAITS]}, ""))
    assert deciding.undecided([*runs, later], database.read(deciding.discarded, [later]).result()) == later


def test_a_check_that_looked_at_nothing_takes_no_question_back() -> None:
    waits = _run(1, 20, snapshots=1, undecided={"files": 5, "bytes": 6, "plan": "p"})
    assert deciding.undecided([waits, _run(2, 20, snapshots=0)], frozenset()) == waits


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
