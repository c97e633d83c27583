"""The daemon's notices at work on a catalog of their own; no mail server is set, so all mail waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from backupd.catalog import definitions as rows
from backupd.catalog import jobs, outbox
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.catalog.outbox import Noted
from backupd.clock import SystemClock
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices.hub import Notices
from backupd.model.notices import NoticeText
from backupd.model.sets import DestinationText, SetText

HOME = SetText(name="home", sources=["/home"], to=["usb"])
ANNA = NoticeText(name="anna", url="mailto:anna@example.org")
NOW_NS = SystemClock().now_ns()
LATER_NS = NOW_NS + 3600 * 10**9


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database, None, None]:
    opened = Database(str(tmp_path))
    yield opened
    opened.close()


def failed(database: Database, identity: str) -> None:
    job = StoredJob(
        id=identity,
        kind="backup",
        state="failed",
        set_id="b1",
        set_name="home",
        orders=b"",
        caller_uid=0,
        created_ns=NOW_NS,
        finished_ns=NOW_NS,
    )
    database.write(jobs.put_job, job).result()


def make_home(database: Database) -> None:
    place = DestinationText(name="usb", place="/usb")
    database.write(rows.put_destination, StoredDestination(id="d1", text=place, file=None, created_ns=1)).result()
    database.write(rows.put_set, StoredSet(id="b1", text=HOME, file=None, created_ns=1)).result()


def keep_up(database: Database, until: Callable[[], bool], change: Callable[[Notices], None] = lambda _: None) -> None:
    """Work until something is so. change: done before."""

    async def run() -> None:
        clock = SystemClock()
        known = Definitions(database, clock)
        await known.reload()
        notices = Notices(database, known, clock, {})
        await notices.definitions.add_notice(ANNA, dry_run=False)
        change(notices)
        task = asyncio.create_task(notices.keep_up())
        async with asyncio.timeout(20):
            while not until():
                await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await notices.stop()

    asyncio.run(run())


def test_what_there_is_no_room_for_is_in_the_log(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """What is lost is told: nobody else ever hears of it."""
    noted = (
        Noted(
            event=f"e{number}",
            recipient="mailto:anna@example.org",
            notice_id="n1",
            job_id=None,
            kind="failure",
            content="{}",
            message_id="<m>",
        )
        for number in range(outbox.MOST_WAITING)
    )
    database.write(outbox.put, noted, LATER_NS).result()
    failed(database, "j1")
    words = "notice of e0 to anna@example.org is dropped: too many notices waited"
    keep_up(database, lambda: words in caplog.text)
    assert "notice of e1 " not in caplog.text


def test_how_sets_stand_is_looked_at_once_a_minute(database: Database) -> None:
    """It reads the newest runs of all sets: what is done for each turn is done day and night."""
    make_home(database)
    failed(database, "j1")
    looks: list[float] = []

    def count(notices: Notices) -> None:
        notices.coming = lambda _: looks.append(monotonic())

    keep_up(database, lambda: bool(looks) and monotonic() > looks[0] + 1.3, count)
    assert len(looks) == 1
    assert [row.event for row in database.read(outbox.due, LATER_NS, LATER_NS).result()] == ["j1-end"]
