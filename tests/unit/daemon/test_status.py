"""How sets stand, from rows alone: what monitoring is told must be neither too kind nor a false alarm."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import metrics, status
from backupd.daemon.status import Facts
from backupd.model.jobs import ended_state
from backupd.model.sets import DestinationText, SetText
from backupd.model.status import CopyStatus, SetStatus, StatusReport, Underway
from bkctl.render.status import status_lines

NOW = 1_800_000_000 * 1_000_000_000
HOUR = 3600
USB = StoredDestination(id="d1", text=DestinationText(name="usb", place="/usb"), file=None, created_ns=0)
NAS = StoredDestination(id="d2", text=DestinationText(name="nas", place="/nas"), file=None, created_ns=0)


def a_set(name: str = "home", to: tuple[str, ...] = ("usb",), **text: Any) -> StoredSet:
    fields = SetText(name=name, sources=["/home"], to=list(to), **text)
    return StoredSet(id=f"b-{name}", text=fields, file=None, created_ns=0)


def a_run(age_hours: float, exit_code: int = 0, kind: str = "backup", **fields: Any) -> StoredRun:
    """A run that began and ended so long ago; good backups have a snapshot."""
    at = NOW - int(age_hours * HOUR) * 1_000_000_000
    facts: dict[str, Any] = {"error": {"message": f"exit {exit_code} it was"} if exit_code else None}
    run = StoredRun(
        job_id=f"j-{age_hours}",
        set_id="b-home",
        destination_id="d1",
        destination_name="usb",
        kind=kind,
        state=ended_state(exit_code),
        snapshot="s1" if kind == "backup" and exit_code in (0, 3, 5) else None,
        exit_code=exit_code,
        started_ns=at,
        finished_ns=at,
        facts={**facts, **fields.pop("facts", {})},
    )
    return msgspec.structs.replace(run, **fields)


def report(*runs: StoredRun, max_age: int | None = None, sets: tuple[StoredSet, ...] | None = None) -> StatusReport:
    facts = Facts(
        sets=sets if sets is not None else (a_set(max_age="26h"),),
        destinations=(USB, NAS),
        runs=runs,
        ended={},
        underway={},
        keys={},
    )
    return status.report(facts, NOW, max_age)


def copy_of(found: StatusReport) -> CopyStatus:
    return found.sets[0].copies[0]


def test_fresh_is_good() -> None:
    """A false alarm each night is an alarm that nobody reads."""
    found = report(a_run(25))
    assert (copy_of(found).verdict, found.check_exit) == ("good", 0)
    assert copy_of(found).age_seconds == 25 * HOUR


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ((a_run(27),), "27 h 00 min old"),
        ((), "no good snapshot yet"),
        ((a_run(27), a_run(1, 15)), "27 h"),
        ((a_run(27), a_run(1, 5)), "27 h"),
        ((a_run(1, kind="restore"),), "no good snapshot yet"),
        ((a_run(-2),), "from the future"),
        ((a_run(1, set_id="b-other"),), "no good snapshot yet"),
        ((a_run(1, destination_id="d2"),), "no good snapshot yet"),
    ],
    ids=["old", "never", "failed since", "partial since", "restore is no backup", "future", "other set", "elsewhere"],
)
def test_overdue(runs: tuple[StoredRun, ...], reason: str) -> None:
    """A user who is told that all is well loses what was written since the last good snapshot."""
    found = report(*runs)
    assert (copy_of(found).verdict, found.check_exit) == ("overdue", 21)
    assert reason in copy_of(found).reason
    assert "home on usb" in found.check_message


def test_left_out_files_make_no_snapshot_bad() -> None:
    """A run of exit 3 has its snapshot; a set with one unreadable file would else be overdue for ever."""
    assert copy_of(report(a_run(1, 3))).verdict == "good"


def test_what_was_purged_is_no_backup() -> None:
    """Else a set of which nothing is left is called good until its age is over."""
    emptied = a_run(2, kind="purge", facts={"is_emptied": True})
    found = report(a_run(3), emptied)
    assert (copy_of(found).verdict, copy_of(found).snapshot, found.check_exit) == ("overdue", None, 21)
    assert copy_of(report(a_run(3), emptied, a_run(1))).verdict == "good"
    assert copy_of(report(a_run(3), a_run(2, kind="purge", facts={"is_emptied": False}))).verdict == "good"


def test_age_counts_from_when_reading_began() -> None:
    """A file changed while a run of ten hours went on is not in it."""
    began = {"started": "2027-01-15T07:00:00+00:00"}
    assert copy_of(report(a_run(0, facts=began), max_age=1)).age_seconds == 3600


def test_every_destination_counts() -> None:
    """A set that is good here and stale there has lost a copy."""
    runs = (a_run(1), a_run(99, destination_id="d2"))
    found = report(*runs, sets=(a_set(to=("usb", "nas"), max_age="26h"),))
    assert [copy.verdict for copy in found.sets[0].copies] == ["good", "overdue"]
    assert found.check_message == "overdue: home on nas"


def test_without_max_age_nothing_is_claimed() -> None:
    """An age that nobody gave can't be kept; `unchecked` says so, and --max-age gives one."""
    sets = (a_set(),)
    assert (copy_of(report(sets=sets)).verdict, report(sets=sets).check_exit) == ("unchecked", 0)
    assert report(a_run(2), sets=sets, max_age=HOUR).check_exit == 21
    assert report(a_run(2), max_age=HOUR).check_exit == 21
    assert report(a_run(30), max_age=40 * HOUR).check_exit == 0


def test_disabled_sets_raise_no_alarm_and_nothing_enabled_does() -> None:
    """A machine whose last set was disabled has no backup."""
    off = a_set("old", max_age="1h", enabled=False)
    assert report(a_run(1), sets=(a_set(max_age="26h"), off)).check_exit == 0
    assert report(sets=(off,)).check_exit == 10
    assert report(sets=()).check_exit == 10


@pytest.mark.parametrize(
    ("runs", "is_damaged"),
    [
        ((a_run(3, 20, "check"),), True),
        ((a_run(3, 20, "check"), a_run(2, 0, "check")), False),
        ((a_run(2, 20, "check"), a_run(3, 0, "check")), True),
        ((a_run(3, 20, "check"), a_run(2, 15, "check")), True),
        ((a_run(3, 20, "check"), a_run(2, 0)), True),
        ((a_run(3, 0, "check"), a_run(2, 20)), True),
        ((a_run(2, 0, "check"), a_run(3, 20)), False),
        ((a_run(3, 20), a_run(2, 0)), False),
        ((a_run(3, 20), a_run(2, 5)), True),
    ],
    ids=[
        "found",
        "healed",
        "found again",
        "then unreachable",
        "a backup does not heal what a check found",
        "met by a backup",
        "checked since",
        "a good backup since",
        "an interrupted one since",
    ],
)
def test_damage_stays_until_a_check_is_good(runs: tuple[StoredRun, ...], is_damaged: bool) -> None:
    """Damage that an unlucky later run hides is found at the restore."""
    found = report(a_run(1.5), *runs) if all(run.kind == "check" for run in runs) else report(*runs)
    assert (copy_of(found).verdict == "damaged") is is_damaged
    assert (found.check_exit == 20) is is_damaged


def test_damage_is_told_before_age() -> None:
    """Who mends the age first writes onto what is broken."""
    assert report(a_run(99), a_run(2, 20, "check")).check_exit == 20


def grade(*runs: StoredRun) -> SetStatus:
    return report(*runs).sets[0]


def test_grade() -> None:
    """A backup that was never checked nor restored is a hope; one on this disk alone burns with the house."""
    found = grade(a_run(1)).grade
    assert (found.versioned, found.verified, found.restored, found.off_site) == (True, False, False, False)
    found = grade(a_run(1), a_run(1, 0, "check"), a_run(1, 3, "restore")).grade
    assert (found.verified, found.restored) == (True, True)
    assert not grade(a_run(1), a_run(1, 20, "check"), a_run(1, 1, "restore")).grade.restored


def test_job_under_way_and_last_job() -> None:
    """A run that died with its daemon left no row, and yet is the last run."""
    ended = StoredJob(
        id="j9",
        kind="backup",
        state="interrupted",
        set_id="b-home",
        set_name="home",
        orders=b"",
        caller_uid=0,
        created_ns=0,
        finished_ns=NOW,
        exit_code=5,
        error={"message": "backupd ended while the job ran"},
    )
    running = Underway(job="j10", kind="backup", state="running", share=0.5)
    facts = Facts(
        sets=(a_set(),),
        destinations=(USB,),
        runs=(a_run(1),),
        ended={"b-home": ended},
        underway={"b-home": running},
        keys={"b-home": "unproved"},
    )
    found = status.report(facts, NOW).sets[0]
    assert found.last_run is not None
    assert (found.last_run.exit, found.last_run.error) == (5, "backupd ended while the job ran")
    assert (found.underway, found.key) == (running, "unproved")
    text = metrics.render(status.report(facts, NOW))
    assert 'backupd_last_run_exit_code{set="home"} 5' in text
    assert 'backupd_running{set="home"} 1' in text


def test_metrics() -> None:
    """Names and labels are a contract: a dashboard that finds none shows an empty, calm picture."""
    told = {"destinations": [{"name": "usb", "held_bytes": 700, "free_bytes": 9}]}
    runs = (a_run(30, facts=told), a_run(2, 0, "check"))
    lines = metrics.render(report(*runs)).splitlines()
    assert f'backupd_last_success_timestamp_seconds{{set="home",destination="usb"}} {NOW // 10**9 - 30 * HOUR}' in lines
    assert f'backupd_last_verified_timestamp_seconds{{set="home",destination="usb"}} {NOW // 10**9 - 2 * HOUR}' in lines
    assert 'backupd_overdue{set="home",destination="usb"} 1' in lines
    assert 'backupd_stored_bytes{destination="usb",area="all"} 700' in lines
    assert 'backupd_free_bytes{destination="usb"} 9' in lines
    assert "backupd_overdue" not in metrics.render(report(*runs, sets=(a_set(),)))
    assert [line for line in metrics.render(report(sets=())).splitlines() if line.startswith("backupd_sets")] == [
        "backupd_sets 0"
    ]


def test_a_run_that_a_quota_refused_tells_what_is_stored() -> None:
    """The catalog keeps the newest run of each exit code: else a refusal makes the quota look unused."""
    context = {"held_bytes": 900, "quota_bytes": 800, "used_bytes": 900}
    refused = a_run(1, 16, facts={"error": {"message": "reached", "context": context}})
    earlier = a_run(2, 0, facts={"destinations": [{"name": "usb", "held_bytes": 500, "free_bytes": 7}]})
    copy = report(earlier, refused, sets=(a_set(quota="800"),)).sets[0].copies[0]
    assert (copy.stored_bytes, copy.free_bytes) == (900, 7)
    assert [(use.of, use.used_bytes, use.left_bytes) for use in copy.quotas] == [("set", 900, 0)]


def test_why_locks_were_not_extended_is_said_until_a_run_extends_them() -> None:
    """Else nobody learns that a thief could delete what is thought to be locked."""
    why = {"code": "locks.failed", "message": "not locked for long enough: the store refused"}
    failed = {"destinations": [{"name": "usb", "free_bytes": 1, "locked": None, "locks_error": why}]}
    locked = {"until": "2027-01-01T00:00:00+00:00"}
    good = {"destinations": [{"name": "usb", "free_bytes": 1, "locked": locked, "locks_error": None}]}
    found = report(a_run(25, facts=good), a_run(1, 3, facts=failed))
    assert copy_of(found).locked_until is None
    assert copy_of(found).locks_error == "not locked for long enough: the store refused"
    assert "home on usb: not locked for long enough: the store refused" in status_lines(found)
    found = report(a_run(25, 3, facts=failed), a_run(1, facts=good))
    assert (copy_of(found).locked_until, copy_of(found).locks_error) == (locked["until"], None)
    assert not any("not locked" in line for line in status_lines(found))
