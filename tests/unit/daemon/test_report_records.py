"""Lines of a report from rows, also from those of an earlier version or of a disk that lost some of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from backupd.catalog.reports import ReportRow
from backupd.daemon.report_records import report_of
from backupd.model.jobs import TRANSITIONS
from backupd.model.reports import Counts, ReportStatus, states_of, status_of


def row(facts: object, kind: str = "backup", **fields: Any) -> ReportRow:
    values: dict[str, Any] = {
        "job_id": "j1", "kind": kind, "set_id": "b1", "set_name": "home", "created_ns": 1, "schedule": None,
        "destination_id": "d1", "destination_name": "usb", "state": "completed", "snapshot": None, "exit_code": 0,
        "started_ns": 2, "finished_ns": 3, "facts": json.dumps(facts) if facts is not None else None, "error": None,
    }  # fmt: skip
    return ReportRow(**{**values, **fields})


@pytest.mark.parametrize(
    "facts",
    [
        None,
        {},
        {"destinations": []},
        {"destinations": None, "files": 3, "bytes": [], "problems": None},
        {"destinations": [7], "error": None},
        {"files": {"new": "many"}, "bytes": {"read": None}},
    ],
)
def test_what_is_not_there_is_not_known(facts: object) -> None:
    found = report_of(row(facts))
    assert (found.files, found.bytes, found.stored_bytes, found.error) == (Counts(), Counts(), None, "")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"x"', "\x00"])
def test_a_damaged_row_is_a_line_all_the_same(text: str) -> None:
    """One bad row must not hide the ten thousand others."""
    assert report_of(msgspec.structs.replace(row(None), facts=text)).status == "completed"
    assert report_of(row(None, error=text)).error == ""


def test_runs_of_earlier_versions_say_less() -> None:
    """They did not tell attributes from content."""
    files = {"seen": 9, "new": 1, "changed": 2, "same": 6, "gone": 3, "left_out": 0}
    found = report_of(row({"files": files, "bytes": {"seen": 90, "read": 30, "new": 20}}))
    assert found.files == Counts(seen=9, new=1, changed=2, deleted=3)
    assert (found.bytes.seen, found.bytes.new, found.plain_bytes) == (90, None, 20)


def test_errors_are_those_of_the_place_or_of_the_job() -> None:
    at_place = report_of(row({"error": {"message": "disk is gone"}}, state="failed", error='{"message": "other"}'))
    assert at_place.error == "disk is gone"
    assert report_of(row(None, state="failed", error='{"message": "no set"}')).error == "no set"
    assert "never began" in report_of(row(None, state="missed")).error


def test_every_state_has_a_status_that_finds_it() -> None:
    """A state that no filter finds is a job that no report shows."""
    for state in TRANSITIONS:
        assert state in states_of(status_of(state))
    assert set(states_of("in_progress")) == {"queued", "running", "paused"}
    status: ReportStatus = "failed"
    assert states_of(status) == ("failed",)
