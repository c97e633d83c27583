"""The outbox: what is noted once is sent once, survives a kill, and never grows without end."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.catalog import jobs, outbox
from backupd.catalog.database import Connection, Database
from backupd.catalog.jobs import StoredJob
from backupd.catalog.outbox import Noted
from backupd.model.jobs import JobState

DAY_NS = 86400 * 10**9


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database, None, None]:
    opened = Database(str(tmp_path))
    yield opened
    opened.close()


def job(identity: str, state: JobState) -> StoredJob:
    return StoredJob(
        id=identity, kind="backup", state=state, set_id="b1", set_name="home", orders=b"", caller_uid=0, created_ns=1
    )


def noted(
    event: str, recipient: str = "mailto:a", kind: str = "failure", job_id: str | None = None, notice_id: str = "n1"
) -> Noted:
    return Noted(
        event=event,
        recipient=recipient,
        notice_id=notice_id,
        job_id=job_id,
        kind=kind,
        content="{}",
        message_id=f"<{event}>",
    )


def waiting(database: Database) -> list[str]:
    return [row.event for row in database.read(outbox.due, 10**18, 5 * 10**18).result()]


def put(database: Database, *rows: Noted, now_ns: int = 1) -> list[outbox.Dropped]:
    return database.write(outbox.put, rows, now_ns).result()


def told(connection: Connection) -> list[str]:
    found: list[str] = []

    def tell(one: StoredJob) -> list[Noted]:
        found.append(f"{one.id} {one.state}")
        return [noted(f"{one.id}-end")]

    outbox.tell_untold(connection, tell, 1)
    return found


def test_an_end_is_untold_from_its_own_transaction_on(database: Database) -> None:
    """Killed right after the commit of the end, the next daemon still tells of it; a second writing tells nothing."""
    for state in ("queued", "running", "paused", "running", "failed"):
        database.write(jobs.put_job, job("j1", state)).result()
    database.write(jobs.put_job, job("j2", "missed")).result()
    database.write(jobs.put_job, job("j3", "running")).result()
    database.write(jobs.put_job, job("j1", "failed")).result()
    assert database.write(told).result() == ["j1 failed", "j2 missed"]
    database.write(jobs.put_job, job("j1", "failed")).result()
    assert database.write(told).result() == []
    assert waiting(database) == ["j1-end", "j2-end"]


def test_a_target_is_told_an_event_once(database: Database) -> None:
    put(database, noted("e"), noted("e"), noted("e", "mailto:b"))
    database.write(outbox.end, 1, "sent", "", 2).result()
    put(database, noted("e"))
    assert len(waiting(database)) == 1


def test_of_too_many_the_oldest_go_and_that_is_told(database: Database) -> None:
    dropped = put(database, *(noted(f"e{n}") for n in range(outbox.MOST_WAITING + 5)))
    assert [one.event for one in dropped] == [f"e{n}" for n in range(5)]
    (trouble,) = database.read(outbox.troubles, 0).result()
    assert (trouble.lost, trouble.detail) == (5, "too many notices waited")
    assert waiting(database)[0] == "e5"


def test_what_ended_long_ago_is_forgotten(database: Database) -> None:
    put(database, noted("old"))
    database.write(outbox.end, 1, "sent", "", 1).result()
    put(database, noted("new"), now_ns=31 * DAY_NS)
    count = database.read(lambda c: c.execute("SELECT COUNT(*) FROM outbox").fetchone()[0]).result()
    assert count == 1


def test_a_recipient_that_takes_nothing_leaves_room_for_others(database: Database) -> None:
    """Else thousands of notices to a server that is gone would keep the others from being looked at."""
    put(database, *(noted(f"e{n}") for n in range(300)), noted("last", "n2", notice_id="n2"))
    found = waiting(database)
    assert found == [*(f"e{n}" for n in range(outbox.MOST_OF_LINE)), "last"]


def test_what_was_under_way_waits_again_after_a_start(database: Database) -> None:
    put(database, noted("e"))
    database.write(outbox.begin, [(1, 3 * 10**18)]).result()
    assert waiting(database) == []
    (row,) = database.write(outbox.take_back, 7).result()
    assert (row.event, row.attempts, row.message_id) == ("e", 1, "<e>")
    assert waiting(database) == ["e"]


def test_a_start_gives_way_to_its_end(database: Database) -> None:
    put(database, noted("j1-start", kind="start", job_id="j1"), noted("j2-start", kind="start", job_id="j2"))
    put(database, noted("j1-end", job_id="j1"))
    database.write(outbox.drop_started, 2).result()
    assert waiting(database) == ["j2-start", "j1-end"]
    assert database.read(outbox.troubles, 0).result() == []


def test_a_start_under_way_gives_way_too(database: Database) -> None:
    """Else a server that was down hears of the start after the end."""
    put(database, noted("j1-start", kind="start", job_id="j1"))
    database.write(outbox.begin, [(1, 3 * 10**18)]).result()
    put(database, noted("j1-end", job_id="j1"))
    database.write(outbox.drop_started, 2).result()
    database.write(outbox.put_off, 1, "503", 3, 2).result()
    assert waiting(database) == ["j1-end"]


def test_trouble_is_over_once_something_gets_through(database: Database) -> None:
    put(database, noted("a"), noted("b"), noted("c"))
    database.write(outbox.end, 1, "refused", "550 no", 10).result()
    database.write(outbox.put_off, 2, "no answer", 10**18, 10).result()
    (trouble,) = database.read(outbox.troubles, 0).result()
    assert (trouble.waiting, trouble.lost, trouble.detail) == (1, 1, "no answer")
    database.write(outbox.end, 2, "sent", "", 11).result()
    assert database.read(outbox.troubles, 0).result() == []


def test_what_is_due_after_a_jump_of_the_clock_does_not_wait_for_years(database: Database) -> None:
    put(database, noted("e"), now_ns=5 * 10**18)
    assert [row.event for row in database.read(outbox.due, 10**18, 10**18 + 1).result()] == ["e"]


def test_pings_do_not_overtake_each_other(database: Database) -> None:
    """Else the success of yesterday, put off, comes after the failure of today and turns the check green."""
    put(database, noted("success", "n1"), noted("other", "n2", notice_id="n2"))
    database.write(outbox.put_off, 1, "503", 100, 2).result()
    put(database, noted("failure", "n1"), now_ns=50)

    def events(now_ns: int, *ordered: str) -> list[str]:
        return [row.event for row in database.read(outbox.due, now_ns, 10**18, ordered).result()]

    assert events(60, "n1") == ["other"]
    assert events(100, "n1") == ["success", "other", "failure"]
    # Of the others none waits for one that its receiver chokes on.
    assert events(60) == ["other", "failure"]
    database.write(outbox.end, 2, "sent", "", 60).result()
    assert database.read(outbox.next_due_ns, ["n1"]).result() == 100
    assert database.read(outbox.next_due_ns).result() == 50


def test_looking_for_troubles_and_noting_many_ends_stays_quick(database: Database) -> None:
    """It is done each minute and for each job that ends, on the one thread that writes for all."""
    put(database, *(noted(f"e{n}") for n in range(4000)))

    def look(connection: Connection) -> tuple[int, int, list[outbox.Trouble]]:
        connection.execute("UPDATE outbox SET state = 'sent', ended_ns = id WHERE id <= 2000")
        connection.execute("UPDATE outbox SET state = 'refused', ended_ns = id, detail = '550' WHERE id > 2000")
        thousands: list[int] = []
        connection.set_progress_handler(lambda: thousands.append(1), 1000)
        found = outbox.troubles(connection, 0)
        connection.set_progress_handler(None, 0)
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        told(connection)
        connection.set_trace_callback(None)
        return len(thousands), sum(one.startswith("DELETE FROM outbox") for one in statements), found

    for n in range(50):
        database.write(jobs.put_job, job(f"j{n}", "failed")).result()
    steps, bounded, (trouble,) = database.write(look).result()
    assert trouble.lost == 2000
    assert steps < 1000
    assert bounded == 1
