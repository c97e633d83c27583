"""Which jobs are told, under which name; on a catalog of its own."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from backupd.catalog import jobs, outbox
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredNotice
from backupd.catalog.jobs import StoredJob
from backupd.daemon.notices import content, noting
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.model.jobs import JobState
from backupd.model.notices import NoticeText
from tests.support.standing import a_set

PLACE = content.Place(host="host", zone=UTC)
DAY_NS = 86400 * 10**9
NOW_NS = 20_000 * DAY_NS + DAY_NS // 2
HOUSE = a_set(name="house")


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database, None, None]:
    opened = Database(str(tmp_path))
    yield opened
    opened.close()


def put(database: Database, identity: str, state: JobState, *, dry_run: bool = False) -> None:
    """A backup of the set that was called `home` when it began; now it is `house`."""
    orders = JobRequest(kind="backup", backup=BackupRequest(dry_run=dry_run)).stored()
    stored = StoredJob(
        id=identity,
        kind="backup",
        state=state,
        set_id="b1",
        set_name="home",
        orders=orders,
        caller_uid=0,
        created_ns=NOW_NS,
        finished_ns=NOW_NS,
    )
    database.write(jobs.put_job, stored).result()


def notice(name: str, on: Sequence[Any], sets: Sequence[str] = ()) -> StoredNotice:
    text = NoticeText(name=name, url=f"mailto:{name}@example.org", on=list(on), sets=list(sets))
    return StoredNotice(id=f"n{name}", text=text, file=None, created_ns=1)


def contents(database: Database) -> list[dict[str, Any]]:
    rows = database.read(outbox.due, 10**20 // 20, 5 * 10**18).result()
    return [json.loads(row.content) for row in rows]


def test_a_set_that_is_renamed_while_it_runs_is_told_of(database: Database) -> None:
    """Its notice follows the new name; and so do the commands that say what to do."""
    put(database, "j1", "failed")
    told = noting.Told([notice("anna", ["failure"], ["house"])], [], PLACE, {"b1": HOUSE})
    database.write(noting.ended, told, NOW_NS).result()
    (found,) = contents(database)
    assert found["set"] == "house"
    assert "bkctl status house" in [one["command"] for one in found["commands"]]


def test_a_digest_counts_what_was_stored_under_any_name(database: Database) -> None:
    """A dry run stored nothing; what failed before a rename failed all the same."""
    told = noting.Told([notice("anna", ["digest"])], [], PLACE, {"b1": HOUSE})
    database.write(noting.digest, [HOUSE], 0, told, NOW_NS).result()
    put(database, "j1", "failed")
    put(database, "j2", "completed", dry_run=True)
    database.write(noting.digest, [HOUSE], 0, told, NOW_NS + DAY_NS).result()
    (found,) = contents(database)
    assert "0 of 1 run was good; 1 of 1 set needs a look" in found["summary"]
    assert (found["digest"][0]["set"], found["digest"][0]["failed"]) == ("house", 1)
