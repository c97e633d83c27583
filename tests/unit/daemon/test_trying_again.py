"""Which failed runs are tried again, when, and where."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from backupd.catalog.jobs import StoredJob
from backupd.daemon.requests import BackupRequest
from backupd.daemon.trying_again import held_back, next_try

_SECOND_NS = 10**9
AWAY = {"code": "destination.unreachable", "message": "nobody answers", "retryable": True}
FULL = {"code": "destination.full", "message": "no space", "retryable": False}
IDS = {"nas": "d1", "usb": "d2", "s3": "d3"}


def ended(places: dict[str, dict[str, Any] | None], error: dict[str, Any] | None = None) -> StoredJob:
    entries = [{"name": name, "error": error} for name, error in places.items()]
    return StoredJob(
        id="j1",
        kind="backup",
        state="failed" if error is not None else "warning",
        set_id="b1",
        set_name="home",
        orders=b"",
        caller_uid=0,
        created_ns=0,
        finished_ns=0,
        result={"runs": [{"destinations": entries}]} if places else None,
        error=error,
    )


def again(stored: StoredJob, attempt: int = 0, next_due_ns: int | None = None, **words: Any) -> BackupRequest | None:
    request = BackupRequest(schedule="nightly", attempt=attempt, **words)
    return next_try(stored, request, next_due_ns, IDS.get)


@pytest.mark.parametrize(
    ("places", "error", "to"),
    [
        ({}, AWAY, []),
        ({}, FULL, None),
        ({"nas": None, "usb": AWAY}, None, ["d2"]),
        ({"nas": None, "usb": FULL}, None, None),
        ({"nas": AWAY, "usb": FULL, "s3": AWAY}, AWAY, ["d1", "d3"]),
        ({"nas": None}, None, None),
    ],
)
def test_what_is_tried_again(
    places: dict[str, dict[str, Any] | None], error: dict[str, Any] | None, to: list[str] | None
) -> None:
    """Only where it may help: a full disk is as full in five minutes, and what is good is not stored twice."""
    found = again(ended(places, error))
    assert (found.to if found is not None else None) == to


def test_it_waits_longer_each_time() -> None:
    found = [again(ended({}, AWAY), attempt) for attempt in range(5)]
    assert [one.not_before_ns // _SECOND_NS if one else None for one in found] == [300, 900, 3600, 3600, 3600]
    assert [one.attempt if one else None for one in found] == [1, 2, 3, 4, 5]


def test_it_ends_where_the_next_run_comes_first() -> None:
    """Else a destination that is gone for good gathers tries."""
    assert again(ended({}, AWAY), next_due_ns=299 * _SECOND_NS) is None
    assert again(ended({}, AWAY), next_due_ns=301 * _SECOND_NS) is not None


def test_runs_by_hand_are_not_tried_again() -> None:
    """Who asked for it sees that it failed."""
    assert next_try(ended({}, AWAY), BackupRequest(), None, IDS.get) is None
    assert again(ended({}, AWAY), dry_run=True) is None


def test_what_it_waits_for() -> None:
    found = again(ended({}, AWAY))
    assert found is not None
    assert held_back(found, 0, UTC) == "its next try at 00:05 UTC: nobody answers"
    assert held_back(found, 300 * _SECOND_NS, UTC) == ""
