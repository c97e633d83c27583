"""Pages of reports from rows alone: each line once, in one order, whatever is filtered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.catalog import jobs, reports
from backupd.catalog.database import Connection, Database
from backupd.catalog.jobs import StoredJob, StoredRun, put_job, put_run
from backupd.catalog.reports import ReportFilter, ReportRow
from backupd.model.jobs import ENDED, TRANSITIONS, JobState, ended_state
from tests.support.job_history import DAY_NS, History, copies

NOW = 20_000 * DAY_NS
_STATES: list[JobState] = ["queued", "running", "paused", *sorted(ENDED)]
"""In one order: by that of a set, another one each time, a job could be completed and its run interrupted."""


def test_no_state_is_left_out() -> None:
    assert set(_STATES) == set(TRANSITIONS)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A history of two months, and on top of it jobs of every state at one moment, also under way at two places."""
    above = tmp_path_factory.mktemp("catalog")
    History(copies(above, [("home", "usb"), ("home", "nas"), ("photos", "usb")])).put(above, NOW, 30)
    found = Database(str(above))
    found.write(_add).result()
    return found


def _add(connection: Connection) -> None:
    for number, state in enumerate(_STATES):
        job = StoredJob(
            id=f"j{number:032x}", kind="backup", state=state, set_id="b" + "9" * 32, set_name="odd", orders=b"",
            caller_uid=7, created_ns=NOW, result={"dry_run": False},
        )  # fmt: skip
        put_job(connection, job)
        for at in range(number % 3):
            run = StoredRun(
                job_id=job.id, set_id="b" + "9" * 32, destination_id=f"d{at:032x}", destination_name=f"at{at}",
                kind="backup", state=ended_state(5 * at), snapshot=None, exit_code=5 * at, started_ns=1, finished_ns=2,
                facts={},
            )  # fmt: skip
            put_run(connection, run)
    rehearsals: list[dict[str, Any]] = [{"dry_run": True}, {"runs": [], "dry_run": True}]
    for number, result in enumerate(rehearsals, 1):
        put_job(
            connection,
            StoredJob(
                id=f"jd{number:031x}", kind="backup", state="completed", set_id=None, set_name=None, orders=b"",
                caller_uid=7, created_ns=NOW, result=result,
            ),
        )  # fmt: skip


def pages(database: Database, size: int, **wanted: object) -> list[ReportRow]:
    """All of them, page by page."""
    found: list[ReportRow] = []
    after = None
    while True:
        one = ReportFilter(**{"since_ns": 0, "until_ns": None, "after": after, "limit": size, **wanted})  # type: ignore[arg-type]
        page = database.read(reports.listed, one).result()
        assert len(page) <= size
        found += page
        if len(page) < size:
            return found
        after = page[-1].cursor


_states = st.lists(st.sampled_from(_STATES), unique=True)


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(3, 200),
    states=_states,
    kinds=st.lists(st.sampled_from(["backup", "check", "restore"]), unique=True),
    at=st.sampled_from([[], [f"d{1:032x}"], [f"d{0:032x}", f"d{2:032x}"]]),
    since=st.integers(0, 40),
    uid=st.sampled_from([None, 7, 99]),
)
def test_pages_are_what_the_filters_say(
    database: Database, size: int, states: list[str], kinds: list[str], at: list[str], since: int, uid: int | None
) -> None:
    """Held against all lines, filtered one by one: none twice, none left out."""
    whole = pages(database, 100_000)
    assert len(whole) > 80
    wanted = {"states": states, "kinds": kinds, "destination_ids": at, "since_ns": NOW - since * DAY_NS}
    found = pages(database, size, **wanted, caller_uid=uid)
    assert [one.cursor for one in found] == sorted({one.cursor for one in found}, reverse=True)
    expected = [
        one
        for one in whole
        if one.created_ns >= NOW - since * DAY_NS
        and (not states or one.state in states)
        and (not kinds or one.kind in kinds)
        and (not at or one.destination_id in at)
        and (uid is None or (uid == 7) == (one.set_name == "odd"))
        and uid != 99
    ]
    assert found == expected


def test_a_job_under_way_has_a_line_besides_its_ended_runs(database: Database) -> None:
    lines = {
        state: [(one.destination_name, one.state) for one in database.read(reports.of_job, f"j{number:032x}").result()]
        for number, state in enumerate(_STATES)
    }
    assert lines["queued"] == [(None, "queued")]
    assert lines["running"] == [("at0", "completed"), (None, "running")]
    assert lines["paused"] == [("at1", "interrupted"), ("at0", "completed"), (None, "paused")]
    assert all((None, state) not in found for state, found in lines.items() if len(found) > 1 and state not in (
        "queued", "running", "paused"))  # fmt: skip


def test_rehearsals_are_no_reports(database: Database) -> None:
    assert not [one for one in pages(database, 100_000) if one.set_id is None]


def test_lines_of_a_log_by_severity(database: Database) -> None:
    job = pages(database, 100_000, kinds=["check"])[0].job_id
    every = database.read(jobs.log_lines, job, 0, 100).result()
    assert [line.n for line in every] == [1, 2, 3]
    assert [line.n for line in database.read(jobs.log_lines, job, 0, 100, ["warning", "error"]).result()] == [2]
    assert [line.n for line in database.read(jobs.log_lines, job, 1, 1).result()] == [2]


def test_an_index_serves_the_newest(database: Database, tmp_path: Path) -> None:
    """Of a hundred thousand jobs a page must not cost the reading of all."""
    plan = database.read(_plan).result()
    assert any("jobs_by_time" in step for step in plan)
    assert not any("SCAN" in step for step in plan)
    assert any("jobs_under_way" in step for step in database.read(_plan_under_way).result())


def _plan(connection: Connection) -> list[str]:
    rows = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT {reports._WITH_RUN} FROM jobs LEFT JOIN runs ON runs.job_id = jobs.id"
        f" WHERE jobs.created_ns BETWEEN 1 AND 2 {reports._NEWEST_FIRST} LIMIT 5"
    )
    return [row[3] for row in rows]


def _plan_under_way(connection: Connection) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE {jobs.UNDER_WAY}")
    return [row[3] for row in rows]
