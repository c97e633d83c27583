"""What notices say of jobs and days: whoever reads them does not look himself."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from backupd.catalog.jobs import StoredJob
from backupd.daemon.notices import content
from backupd.model.jobs import JobState
from backupd.model.notices import NoticeDestination, NoticeEvent
from backupd.model.status import SetStatus
from backupd.operations.notices.wording import text_of
from tests.support.standing import a_copy, a_set

PLACE = content.Place(host="host", zone=UTC)
NOW_NS = 10**18


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


def told(one: StoredJob, event: NoticeEvent, stands: SetStatus) -> dict[str, NoticeDestination]:
    return {found.name: found for found in content.of_job(one, event, PLACE, NOW_NS, stands).destinations}


def test_where_a_run_never_went_it_did_not_fail() -> None:
    """A run of one destination alone says nothing bad of the others: somebody would look for what is not broken."""
    nas = a_copy("nas", "overdue", None, "there is none")
    stands = a_set(a_copy("usb", "good", 30), a_copy("cloud", "good", 3), nas)
    one = job(destinations=[{"name": "usb", "verdict": "failed", "error": {"message": "it is full"}}])
    found = told(one, "failure", stands)
    assert (found["usb"].verdict, found["usb"].detail) == ("failed", "it is full; last good 30 h 00 min ago")
    assert (found["cloud"].verdict, found["nas"].verdict) == ("good", "overdue")
    text = text_of(content.of_job(one, "failure", PLACE, NOW_NS, stands))
    assert "cloud: good, this run did not get there; last good 3 h 00 min ago" in " ".join(text.split())
    assert "nas: overdue, this run did not get there; there is none" in " ".join(text.split())


def test_a_missed_run_was_missed_everywhere() -> None:
    found = told(job("missed"), "missed", a_set(a_copy("usb", "good", 30), a_copy("cloud", "good")))
    assert {name: one.verdict for name, one in found.items()} == {"usb": "missed", "cloud": "missed"}


def test_of_many_sets_the_last_one_that_fails_is_told() -> None:
    """A mail that says all is well, and leaves out the one set that is not, is worse than none."""
    sets = [a_set(name=f"s{n}", identity=f"b{n}") for n in range(300)]
    jobs = [*((one.id, "completed", 1) for one in sets[:-1]), ("b299", "failed", 2)]
    found = content.of_digest(jobs, sets, "digest", PLACE, (NOW_NS, NOW_NS))
    assert "1 of 300 sets needs a look" in found.summary
    assert "299 of 301 runs were good" in found.summary
    assert (found.digest[0].set, found.digest[0].failed) == ("s299", 2)
    assert len(found.digest) == 200
