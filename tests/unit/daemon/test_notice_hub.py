"""The daemon's notices at work on a catalog of their own; no mail server is set, so all mail waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import pytest

from backupd.catalog import jobs, outbox
from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob
from backupd.catalog.outbox import Noted
from backupd.clock import SystemClock
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices.hub import Notices
from backupd.model.notices import NoticeText

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
