"""What a job cost at each place finds its way to that destination's entry, run and metrics, however the job ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.catalog.definitions import StoredDestination
from backupd.catalog.jobs import StoredRun
from backupd.daemon.grouping import caught_up, split
from backupd.daemon.outcome import Outcome, fields, joined
from backupd.daemon.requests import JobRequest
from backupd.daemon.run_records import backup_facts, other_facts, traffic_of
from backupd.errors import BackupError, DestinationUnreachableError, StoppedError
from backupd.model.events import Failed
from backupd.model.orders import CheckOrder, ReplicateOrder
from backupd.model.sets import DestinationText
from backupd.model.traffic import Requests, Traffic

NEAR, FAR = (Traffic(requests=Requests(put=number), sent_bytes=1000 * number) for number in (1, 2))
GROUP = [
    StoredDestination(id=f"d-{name}", text=DestinationText(name=name, place=f"/{name}"), file=None, created_ns=0)
    for name in ("near", "far")
]
AWAY = DestinationUnreachableError("far is away", hint="mount it")


def failed(error: BackupError, *traffic: Traffic) -> Outcome:
    return Outcome.said(Failed(exit_code=error.exit_code, error=fields(error), traffic=list(traffic)))


def entry(name: str, traffic: Traffic, error: BackupError | None = None) -> dict[str, Any]:
    told = fields(error) if error is not None else None
    verdict = "failed" if error is not None else "good"
    costs = msgspec.to_builtins(traffic)
    return {"name": name, "verdict": verdict, "stored_bytes": 0, "error": told, "traffic": costs}


def done(*entries: dict[str, Any], exit_code: int = 0) -> Outcome:
    run: dict[str, Any] = {"set": "s", "snapshot": "s1", "problems": {"count": 0}, "destinations": [*entries]}
    return Outcome(exit_code=exit_code, result={"runs": [run]})


def kept(facts: dict[str, Any]) -> Traffic | None:
    """As it comes out of the catalog."""
    run = StoredRun(
        job_id="j1",
        set_id="b1",
        destination_id="d1",
        destination_name="near",
        kind="backup",
        state="completed",
        snapshot=None,
        exit_code=0,
        started_ns=0,
        finished_ns=0,
        facts=msgspec.json.decode(msgspec.json.encode(facts)),
    )
    return traffic_of(run)


def test_of_a_run_that_failed_everywhere_each_destination_has_its_own() -> None:
    """Else the store that was tried for an hour looks as idle as the one that was away."""
    near, far = StoppedError("it ended"), AWAY
    near.context = {"places": {"0": fields(near), "1": fields(far)}}
    parts = split(failed(near, NEAR, FAR), GROUP)
    assert [parts[one.id].traffic for one in GROUP] == [[NEAR], [FAR]]
    assert [kept(backup_facts(parts[one.id])) for one in GROUP] == [NEAR, FAR]


def test_of_a_run_that_failed_at_one_the_others_are_not_mixed_up_with_it() -> None:
    parts = split(done(entry("near", NEAR), entry("far", FAR, AWAY), exit_code=4), GROUP)
    assert [kept(backup_facts(parts[one.id])) for one in GROUP] == [NEAR, FAR]
    whole = joined([("near", parts["d-near"]), ("far", parts["d-far"])])
    assert whole.result is not None
    told = [one["traffic"] for one in whole.result["runs"][0]["destinations"]]
    assert told == [msgspec.to_builtins(NEAR), msgspec.to_builtins(FAR)]


def test_who_follows_a_failed_job_hears_it_too() -> None:
    last = failed(AWAY, NEAR).last_word()
    assert isinstance(last, Failed)
    assert last.traffic == [NEAR]
    assert failed(StoppedError("by SIGTERM"), NEAR).stopped("stopped").traffic == [NEAR]


def test_one_that_was_filled_from_another_tells_what_the_filling_cost_there() -> None:
    """It is not what the other destination cost, nor nothing."""
    both = {"from": msgspec.to_builtins(NEAR), "to": msgspec.to_builtins(FAR)}
    copied = Outcome(exit_code=0, result={"bytes": {"copied": 5, "held": 5}, "traffic": both})
    assert kept(backup_facts(caught_up(copied, done(entry("near", NEAR)), GROUP[1]))) == FAR
    bad = msgspec.structs.replace(copied, exit_code=20)
    assert kept(backup_facts(caught_up(bad, done(entry("near", NEAR)), GROUP[1]))) == FAR
    ended = failed(AWAY, NEAR, FAR)
    assert kept(backup_facts(caught_up(ended, done(entry("near", NEAR)), GROUP[1]))) == FAR


@pytest.mark.parametrize("is_failed", [False, True])
def test_other_jobs_are_kept_with_what_they_cost(*, is_failed: bool) -> None:
    """Of a replication at the place that it is kept for: the one that was copied to."""
    check = JobRequest(kind="check", check=CheckOrder(place="/near"))
    copy = JobRequest(kind="replicate", replicate=ReplicateOrder(place="/near", to="/far"))
    told = msgspec.to_builtins(NEAR)
    of_check = failed(AWAY, NEAR) if is_failed else Outcome(exit_code=0, result={"blocks": 1, "traffic": told})
    both = {"from": told, "to": msgspec.to_builtins(FAR)}
    of_copy = failed(AWAY, NEAR, FAR) if is_failed else Outcome(exit_code=0, result={"traffic": both})
    assert kept(other_facts(check, of_check)) == NEAR
    assert kept(other_facts(copy, of_copy)) == FAR


@pytest.mark.parametrize("facts", [{}, {"traffic": None}, {"traffic": {"requests": 5}}, {"destinations": [7, {}]}])
def test_runs_of_an_older_version_tell_nothing(facts: dict[str, Any]) -> None:
    """An upgrade must not end `status`."""
    assert kept(facts) is None
