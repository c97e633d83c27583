"""Old jobs go, and nothing that anybody still needs goes with them."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from backupd.catalog import jobs, rotation
from backupd.catalog.database import Connection, Database
from backupd.catalog.facts import put_fact
from backupd.catalog.jobs import JobFilter, StoredJob, StoredRun
from backupd.catalog.rotation import Found, Place, Spared
from backupd.clock import Clock, SystemClock
from backupd.daemon.job_files import JobFiles
from backupd.daemon.log_rotation import LogRotation, forget_check_logs
from backupd.errors import StateFullError
from backupd.model.jobs import LogLine
from backupd.settings.daemon_settings import LogSettings
from tests.support.job_history import DAY_NS, Copy, History, copies
from tests.support.mounting import enlarge, tmpfs

NOW = SystemClock().now_ns()


class House:
    """A catalog of a year, and what rotates it."""

    def __init__(self, state: Path, days: int, a_day: int = 1, **history: int) -> None:
        self.state = state
        self.copies: list[Copy] = copies(state, [("home", "usb"), ("home", "nas"), ("photos", "usb")])
        self.runs = History(self.copies, **history).put(state, NOW, days, a_day)
        self.database = Database(str(state))
        self.clock: Clock = SystemClock()

    def rotate(self, **settings: str) -> int:
        """As the daemon does it."""

        async def run() -> int:
            files = JobFiles(str(self.state))
            return await LogRotation(
                self.database, files, str(self.state), self.clock, LogSettings(**settings)
            ).rotate()

        return asyncio.run(run())

    def count(self, table: str) -> int:
        """Rows."""
        return int(self.database.read(_count, table).result())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, 300)


def _count(connection: Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    return found


def _all(connection: Connection) -> list[StoredJob]:
    return jobs.listed(connection, JobFilter(limit=100_000))


def test_what_is_old_goes_with_its_runs_and_lines(house: House) -> None:
    """Else /var fills with years of logs, and status waits for them."""
    before = house.count("jobs")
    removed = house.rotate(keep="90d")
    left = house.database.read(_all).result()
    assert house.count("jobs") == before - removed == len(left)
    old = [job for job in left if job.created_ns < NOW - 90 * DAY_NS]
    # The newest of each kind of each set, and the first good one of each copy.
    assert len(old) <= 2 * 2 * rotation.STAYING + 3
    assert len(left) - len(old) > 150, "what is young stays whole"
    for table in ("runs", "log"):
        lonely = house.database.read(_lonely, table).result()
        assert lonely == [], table
    assert house.rotate(keep="90d") == 0


def _lonely(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(f"SELECT job_id FROM {table} WHERE job_id NOT IN (SELECT id FROM jobs)")
    return [row[0] for row in rows]


def test_what_others_need_stays(house: House) -> None:
    """Status, periodic checks, decisions and the forecast must say the same after it as before."""
    database = house.database

    def needed() -> list[object]:
        found: list[object] = [database.read(jobs.last_runs).result(), house.count("sizes_by_day")]
        for copy in house.copies:
            found.append(database.read(jobs.snapshot_times, copy.stored.id, copy.destination.id).result())
            found.append([job.id for job in database.read(jobs.last_ended, copy.stored.id, "backup", 20).result()])
        return found

    before = needed()
    assert house.rotate(keep="1d") > 400
    assert needed() == before
    for run in database.read(jobs.last_runs).result():
        assert database.read(jobs.runs_of, run.job_id).result(), "its job is shown by status"


def test_a_snapshot_is_found_by_its_id_long_after_its_run_went(house: House) -> None:
    """`restore s1234` of what was backed up last year asks the catalog where that lies."""
    job = house.database.read(_all).result()[-30]
    (run, *_) = house.database.read(jobs.runs_of, job.id).result()
    assert run.snapshot is not None
    house.rotate(keep="30d")
    assert house.database.read(jobs.runs_of, job.id).result() == []
    found = house.database.read(jobs.run_of_snapshot, run.snapshot[:9]).result()
    assert found == (run.set_id, run.destination_id)


def test_jobs_under_way_and_seldom_ones_stay(tmp_path: Path) -> None:
    """A set that runs once a quarter has a history, too; and a job that waits for a drive may wait long."""
    house = House(tmp_path, 40)
    old = NOW - 400 * DAY_NS

    def put(connection: Connection) -> None:
        for number in range(5):
            for state in ("queued", "completed"):
                job = StoredJob(
                    id=f"j{state[0]}{number}", kind="backup", state=state, set_id="b-seldom", set_name="seldom",
                    orders=b"", caller_uid=0, created_ns=old + number, schedule="quarterly",
                )  # fmt: skip
                jobs.put_job(connection, job)

    house.database.write(put).result()
    assert house.rotate(keep="90d") == 0
    assert house.rotate(keep="1d") > 0
    assert {job.id for job in house.database.read(_all).result()} >= {f"j{s}{n}" for s in "qc" for n in range(5)}


def test_what_ends_during_a_pass_stays(house: House) -> None:
    """A check that waited for months ends while old jobs go: status shows it from then on."""
    (copy, *_) = house.copies
    waited = StoredJob(
        id="j0", kind="backup", state="running", set_id=copy.stored.id, set_name="home", orders=b"", caller_uid=0,
        created_ns=NOW - 200 * DAY_NS, started_ns=NOW, schedule="nightly",
    )  # fmt: skip

    def end(connection: Connection) -> None:
        run = StoredRun(
            job_id="j0", set_id=copy.stored.id, destination_id=copy.destination.id, destination_name="usb",
            kind="backup", state="completed", snapshot="s0", exit_code=0, started_ns=NOW, finished_ns=NOW + 1, facts={},
        )  # fmt: skip
        jobs.put_run(connection, run)
        jobs.put_job(connection, msgspec.structs.replace(waited, state="completed", exit_code=0, finished_ns=NOW + 1))

    house.database.write(jobs.put_job, waited).result()
    kept = house.database.read(rotation.spared).result()
    house.database.write(end).result()
    assert "j0" in {run.job_id for run in house.database.read(jobs.last_runs).result()}
    found = house.database.read(rotation.look, NOW - 90 * DAY_NS, Place(), kept).result()
    assert len(found.jobs) > 100
    assert "j0" not in found.jobs


def test_of_what_runs_seldom_it_is_asked_once(house: House) -> None:
    """All jobs of the set are looked at for the answer, on the one thread that answers everybody."""
    asked: list[str] = []

    def look(connection: Connection, place: Place, kept: Spared) -> Found:
        connection.set_trace_callback(asked.append)
        try:
            return rotation.look(connection, NOW, place, kept)
        finally:
            connection.set_trace_callback(None)

    kept = house.database.read(rotation.spared).result()
    place: Place | None = Place()
    steps = 0
    while place is not None:
        place = house.database.read(look, place, kept).result().looked_up_to
        steps += 1
    assert steps > 1
    # Of two sets: backups, checks, restores.
    assert len(asked) <= steps + 6


def test_of_each_kind_the_newest_stay(house: House) -> None:
    """No more and no fewer, whatever the order in which jobs of one moment come."""
    whole = [*house.database.read(_all).result()]
    kept = house.database.read(rotation.spared).result()
    found = set(house.database.read(rotation.look, NOW, Place(), kept).result().jobs)
    oldest = sorted((job.created_ns, job.id) for job in whole)[:500]
    alike = Counter[tuple[str | None, str, str | None]]()
    newer: dict[str, int] = {}
    for job in whole:
        key = (job.set_id, job.kind, job.schedule)
        newer[job.id] = alike[key]
        alike[key] += 1
    assert found == {job for _, job in oldest if newer[job] >= rotation.STAYING and job not in kept.jobs}


class Ahead(SystemClock):
    """A clock that somebody has set to the year after the next."""

    def now_ns(self) -> int:
        return NOW + 700 * DAY_NS


def test_a_clock_that_leaps_ahead_makes_nothing_old(tmp_path: Path) -> None:
    """Else one start with a wrong clock takes all history."""
    house = House(tmp_path, 40)
    house.clock = Ahead()
    assert house.rotate(keep="90d") == 0


def test_the_oldest_go_where_it_is_too_much(tmp_path: Path) -> None:
    """A script that asks for a job a second must not fill the disk within the ninety days."""
    house = House(tmp_path, 90, a_day=4, log_lines=40)
    used = house.database.read(rotation.used_bytes).result()
    assert used > 2 << 20
    assert house.rotate(keep="1000d", most="2MiB") > 0
    assert house.database.read(rotation.used_bytes).result() <= 2 << 20
    youngest = house.database.read(_all).result()[0]
    assert NOW - youngest.created_ns < DAY_NS
    size = (tmp_path / "catalog.sqlite").stat().st_size
    # What comes next takes the pages that are free now.
    History(house.copies, seed=9).put(tmp_path, NOW, 20)
    assert (tmp_path / "catalog.sqlite").stat().st_size == size
    assert house.rotate(keep="1000d", most="1MiB") >= 0


def test_no_step_takes_long(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """While it runs a job's lines are written, too: they wait for one step at most."""
    full_size = request.config.getoption("--full-size")
    house = House(tmp_path, 4500 if full_size else 700, log_lines=20)
    assert house.count("jobs") > (10_000 if full_size else 1500)
    kept = house.database.read(rotation.spared).result()
    place: Place | None = Place()
    slowest = 0.0
    while place is not None:
        found = house.database.read(rotation.look, NOW - 90 * DAY_NS, place, kept).result()
        left = found.jobs
        while left:
            began = time.monotonic()
            gone = house.database.write(rotation.remove, left).result()
            slowest = max(slowest, time.monotonic() - began)
            assert 0 < len(gone) <= 50
            left = left[len(gone) :]
        place = found.looked_up_to
    assert house.count("jobs") < 400
    assert slowest < 1.0


def test_a_log_of_many_lines_goes_in_parts(tmp_path: Path) -> None:
    """A run that could not read a hundred thousand files is no reason to keep others waiting."""
    database = Database(str(tmp_path))

    def put(connection: Connection) -> None:
        lines = [LogLine(n=n, time_ns=1, severity="warning", message="m") for n in range(1, 12_001)]
        jobs.put_job(
            connection,
            StoredJob(
                id="j1", kind="backup", state="warning", set_id=None, set_name=None, orders=b"", caller_uid=0,
                created_ns=1,
            ),
        )  # fmt: skip
        jobs.add_log(connection, "j1", lines)

    database.write(put).result()
    steps = 1
    while not database.write(rotation.remove, ["j1"]).result():
        steps += 1
    assert steps == 3
    assert database.read(_count, "log").result() == 0
    database.close()


def test_logs_of_checks_go_by_their_date(tmp_path: Path) -> None:
    names = ["2020-01-01T000000Z-r1234-ab.log", "2999-01-01T000000Z-r1234-ab.log", "2020-notes.txt"]
    for name in names:
        (tmp_path / name).write_text("x")
    forget_check_logs(str(tmp_path), NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
    forget_check_logs(str(tmp_path / "absent"), NOW)


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("mount", "umount")
def test_a_full_disk_leaves_all_as_it_is(tmp_path: Path) -> None:
    """It ends, is told, and is tried again an hour later: nothing is half removed."""
    with tmpfs(tmp_path / "state", "120m") as state:
        house = House(state, 120)
        before = house.count("jobs")
        (state / "filler").write_bytes(bytes(os.statvfs(state).f_bavail * os.statvfs(state).f_frsize))
        house.database.write_always(put_fact, "ended", "x" * 1_000_000).result()
        with pytest.raises(StateFullError):
            house.rotate(keep="30d")
        assert house.count("jobs") == before
        (state / "filler").unlink()
        enlarge(state, "300m")
        assert house.database.keep_reserve()
        assert house.rotate(keep="30d") > 0
        house.database.close()


def test_runs_put_twice_count_once_a_day(house: House) -> None:
    """A day has the size of its last run, whatever the order in which they are kept."""
    copy = house.copies[0]

    def put(connection: Connection, held: int, time_ns: int) -> None:
        facts = {"destinations": [{"held_bytes": held, "free_bytes": 7}]}
        jobs.put_run(
            connection,
            StoredRun(
                job_id=f"j{held}", set_id=copy.stored.id, destination_id=copy.destination.id, destination_name="usb",
                kind="backup", state="completed", snapshot=None, exit_code=0, started_ns=1, finished_ns=time_ns,
                facts=facts,
            ),
        )  # fmt: skip

    day = 99_000 * DAY_NS
    house.database.write(put, 2, day + 20).result()
    house.database.write(put, 1, day + 10).result()
    rows = house.database.read(_sizes_of, 99_000).result()
    assert rows == [(day + 20, 2, 7)]


def _sizes_of(connection: Connection, day: int) -> list[tuple[int, int, int]]:
    return list(
        connection.execute("SELECT time_ns, held_bytes, free_bytes FROM sizes_by_day WHERE day = ?", (day,))
    )
