"""What notices say of jobs and days: whoever reads them does not look himself."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from backupd.catalog.jobs import StoredJob
from backupd.daemon.notices import content
from backupd.model.jobs import JobState
from backupd.model.notices import NoticeDestination, NoticeEvent
from backupd.model.status import CopyStatus, Grade, SetStatus, Verdict
from backupd.operations.notices.wording import text_of

PLACE = content.Place(host="host", zone=UTC)
NOW_NS = 10**18
HOUR_SECONDS = 3600
GRADE = Grade(automatic=True, versioned=True, verified=True, restored=True, off_site=True)


def job(state: JobState = "failed", destinations: list[dict[str, Any]] | None = None) -> StoredJob:
    result = {"runs": [{"destinations": destinations}]} if destinations is not None else None
    return StoredJob(
        id="j" + "1" * 32,
        kind="backup",
        state=state,
        set_id="b1",
        set_name="home",
        orders=b"",
        caller_uid=0,
        created_ns=1,
        result=result,
    )


def copy(name: str, verdict: Verdict, age_hours: int | None = None, reason: str = "") -> CopyStatus:
    age = age_hours * HOUR_SECONDS if age_hours is not None else None
    return CopyStatus(destination=name, place=f"/{name}", verdict=verdict, reason=reason, age_seconds=age)


def a_set(*copies: CopyStatus, name: str = "home", identity: str = "b1") -> SetStatus:
    return SetStatus(
        set=name,
        id=identity,
        is_enabled=True,
        max_age=None,
        max_age_seconds=None,
        underway=None,
        next_ns=None,
        next_schedule=None,
        last_run=None,
        key="proved",
        grade=GRADE,
        copies=list(copies),
    )


def told(one: StoredJob, event: NoticeEvent, stands: SetStatus) -> dict[str, NoticeDestination]:
    return {found.name: found for found in content.of_job(one, event, PLACE, NOW_NS, stands).destinations}


def test_where_a_run_never_went_it_did_not_fail() -> None:
    """A run of one destination alone says nothing bad of the others: somebody would look for what is not broken."""
    stands = a_set(copy("usb", "good", 30), copy("cloud", "good", 3), copy("nas", "overdue", None, "there is none"))
    one = job(destinations=[{"name": "usb", "verdict": "failed", "error": {"message": "it is full"}}])
    found = told(one, "failure", stands)
    assert (found["usb"].verdict, found["usb"].detail) == ("failed", "it is full; last good 30 h 00 min ago")
    assert (found["cloud"].verdict, found["nas"].verdict) == ("good", "overdue")
    text = text_of(content.of_job(one, "failure", PLACE, NOW_NS, stands))
    assert "cloud: good, this run did not get there; last good 3 h 00 min ago" in " ".join(text.split())
    assert "nas: overdue, this run did not get there; there is none" in " ".join(text.split())


def test_a_missed_run_was_missed_everywhere() -> None:
    found = told(job("missed"), "missed", a_set(copy("usb", "good", 30), copy("cloud", "good")))
    assert {name: one.verdict for name, one in found.items()} == {"usb": "missed", "cloud": "missed"}
