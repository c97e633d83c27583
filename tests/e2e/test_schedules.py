"""Sets that run by themselves, in a real daemon on a clock that the test sets."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.fake_clock import FakeClock, fake_clock

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock(tmp_path: Path) -> Generator[FakeClock, None, None]:
    with fake_clock(Daemon(tmp_path / "home")) as found:
        yield found


@pytest.fixture
def daemon(tmp_path: Path, clock: FakeClock) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "letter").write_text("dear")
    with running_daemon(tmp_path / "home", settings="time_zone: Europe/Berlin\n") as started:
        started.good("set", "create", "docs", "--source", source, "--to", tmp_path / "place")
        yield started


def _jobs(daemon: Daemon) -> list[dict[str, Any]]:
    """Its backups, in the order in which they were begun; periodic checks left out."""
    found = [job for job in daemon.good("job", "list")["jobs"] if job["kind"] == "backup"]
    return found[::-1]


def _states(daemon: Daemon) -> list[str]:
    return [job["state"] for job in _jobs(daemon)]


def _until(daemon: Daemon, *states: str) -> list[dict[str, Any]]:
    """Wait until the jobs are in these states."""
    daemon.good("config", "reload")
    try:
        slow_set.wait_for(lambda: _states(daemon) == list(states), 30)
    except AssertionError:
        raise AssertionError(f"{_jobs(daemon)} {daemon.said()}") from None
    return _jobs(daemon)


def _next(daemon: Daemon) -> datetime:
    (run,) = daemon.good("schedule", "next", "docs", "--count", "1")["runs"]
    return datetime.fromisoformat(run["begins"])


def _wait_for_next(daemon: Daemon, clock: FakeClock) -> datetime:
    """Let the time pass until just after the next run is due; when that is."""
    due = _next(daemon)
    clock.pass_time(due - clock.now() + timedelta(seconds=1))
    return due


def test_a_daily_set_runs_by_itself_through_kills_and_sleep(daemon: Daemon, clock: FakeClock) -> None:
    """Else nobody has a backup of the night in which the daemon was restarted, or two of it."""
    added = daemon.good("schedule", "add", "docs", "--daily", "02:30", "--no-retention")
    assert len(added["runs"]) == 3
    assert "T02:30:00+0" in daemon.good("schedule", "list")["schedules"][0]["begins"], "the clock of its zone"

    due = _wait_for_next(daemon, clock)
    (job,) = _until(daemon, "completed")
    assert (job["schedule"], job["set"]) == ("daily", "docs")
    assert datetime.fromisoformat(job["created"]) - due < _MINUTE

    # Killed and started again, it has not forgotten; nor does it begin a second one.
    daemon.kill()
    daemon.start()
    assert _until(daemon, "completed") == [job]
    assert _next(daemon) > due

    # A machine that slept for three days makes up for one run; a killed daemon that missed its time, too.
    clock.pass_time(3 * _DAY)
    _until(daemon, "completed", "completed")
    due = _next(daemon)
    daemon.kill()
    clock.pass_time(due - clock.now() + _HOUR)
    daemon.start()
    *_, last = _until(daemon, "completed", "completed", "completed")
    status = daemon.good("status")["sets"][0]
    assert status["grade"]["automatic"] is True
    assert status["max_age_seconds"] == 2 * 86400
    assert status["destinations"][0]["verdict"] == "good"
    assert status["next_run"]["schedule"] == "daily"
    assert daemon.good("job", "show", last["id"])["job"]["schedule"] == "daily"
    assert "for 3 runs since" in daemon.said()

    # Without another run it is overdue after two intervals.
    daemon.good("schedule", "edit", "docs", "daily", "--disable")
    clock.pass_time(3 * _DAY)
    assert _until(daemon, "completed", "completed", "completed")[-1] == last
    assert daemon.good("status")["sets"][0]["destinations"][0]["verdict"] == "unchecked"
    daemon.good("schedule", "edit", "docs", "daily", "--enable")
    assert daemon.good("status")["sets"][0]["destinations"][0]["verdict"] == "overdue"
    assert len(_jobs(daemon)) == 3, "what was due while it was off is not made up for"


def test_missed_runs_are_told(daemon: Daemon, clock: FakeClock) -> None:
    """Else who had them skipped never learns of it."""
    daemon.good("schedule", "add", "docs", "--daily", "02:30", "--missed", "skip", "--name", "nightly")
    clock.pass_time(4 * _DAY)
    (job,) = _until(daemon, "missed")
    assert (job["schedule"], job["exit"], job["started"]) == ("nightly", None, None)
    assert "4 runs missed" in job["error"]["message"] or "3 runs missed" in job["error"]["message"]
    assert daemon.good("job", "list", "--status", "missed")["jobs"] == [job]
    (told,) = daemon.good("report", "list", "--status", "missed")["reports"]
    assert (told["job"], told["schedule"], told["destination"]) == (job["id"], "nightly", None)
    assert (told["started"], told["finished"], told["error"]) == (None, None, job["error"]["message"])
    shown = daemon.bkctl("job", "show", job["id"]).stdout.decode()
    assert "missed" in shown
    assert "due by schedule nightly" in shown


def test_clocks_that_step(daemon: Daemon, clock: FakeClock) -> None:
    """Set back an hour, what ran does not run again; set back a year, it runs on from there."""
    daemon.good("schedule", "add", "docs", "--daily", "02:30")
    _wait_for_next(daemon, clock)
    _until(daemon, "completed")
    clock.set_wall(-40 * _MINUTE)
    _until(daemon, "completed")
    clock.pass_time(50 * _MINUTE)
    _until(daemon, "completed")
    clock.set_wall(-365 * _DAY)
    daemon.good("config", "reload")
    slow_set.wait_for(lambda: "the clock was set back" in daemon.said())
    _wait_for_next(daemon, clock)
    years = {job["created"][:4] for job in _until(daemon, "completed", "completed")}
    assert len(years) == 2


def test_a_run_window(daemon: Daemon, clock: FakeClock, tmp_path: Path) -> None:
    """Else a run that was to use the night alone takes the line in the morning."""
    slow_set.make(daemon, "slow", tmp_path / "other", mib=4)
    with slow_set.gate(daemon):
        daemon.good("schedule", "add", "slow", "--daily", "02:00", "--window", "01:00-05:00")
        begins = datetime.fromisoformat(daemon.good("schedule", "next", "slow", "--count", "1")["runs"][0]["begins"])
        clock.pass_time(begins - clock.now() + timedelta(seconds=1))
        daemon.good("config", "reload")
        slow_set.wait_for(lambda: _states(daemon) == ["running"])
        slow_set.wait_until_announced(tmp_path / "other")
        clock.pass_time(4 * _HOUR)
        (job,) = _until(daemon, "paused")
        said = "its window 01:00-05:00 is over"
        slow_set.wait_for(lambda: any(said in line["message"] for line in _log(daemon, job["id"])))
        # Who needs it now may have it go on; it is not paused again.
        daemon.good("job", "resume", job["id"])
        clock.pass_time(_MINUTE)
        _until(daemon, "running")
        daemon.good("job", "pause", job["id"])
        clock.pass_time(20 * _HOUR)
        _until(daemon, "running")
    _until(daemon, "completed")

    # What is due outside of it waits for it.
    daemon.good("schedule", "edit", "slow", "daily", "--daily", "12:00")
    begins = datetime.fromisoformat(daemon.good("schedule", "next", "slow", "--count", "1")["runs"][0]["begins"])
    clock.pass_time(begins - clock.now() + timedelta(seconds=1))
    _, waiting = _until(daemon, "completed", "queued")
    assert waiting["waits_for"] == "its window, 01:00-05:00"
    clock.pass_time(13 * _HOUR + _MINUTE)
    _until(daemon, "completed", "completed")


def _log(daemon: Daemon, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.good("job", "log", job_id)["lines"]
    return found


def test_a_destination_that_is_away_is_tried_again(daemon: Daemon, clock: FakeClock, tmp_path: Path) -> None:
    """Else a line that was down for a minute at night costs a day's backup."""
    daemon.good("schedule", "add", "docs", "--daily", "02:30")
    _wait_for_next(daemon, clock)
    _until(daemon, "completed")
    (tmp_path / "place").rename(tmp_path / "away")
    _wait_for_next(daemon, clock)
    _, failed, waiting = _until(daemon, "completed", "failed", "queued")
    assert failed["error"]["retryable"] is True
    assert waiting["waits_for"].startswith("its next try at 02:3"), waiting
    # It survives a kill, and a second failure makes it wait for longer.
    daemon.kill()
    daemon.start()
    clock.pass_time(6 * _MINUTE)
    *_, waiting = _until(daemon, "completed", "failed", "failed", "queued")
    assert waiting["waits_for"].startswith("its next try at 02:5"), waiting
    (tmp_path / "away").rename(tmp_path / "place")
    clock.pass_time(16 * _MINUTE)
    *_, last = _until(daemon, "completed", "failed", "failed", "completed")
    assert last["schedule"] == "daily"


def test_a_run_that_outlasts_its_interval(daemon: Daemon, clock: FakeClock, tmp_path: Path) -> None:
    """No second one begins; what interval would have fitted is said."""
    slow_set.make(daemon, "slow", tmp_path / "other", mib=2)
    with slow_set.gate(daemon):
        daemon.good("schedule", "add", "slow", "--every", "15m")
        begins = datetime.fromisoformat(daemon.good("schedule", "next", "slow", "--count", "1")["runs"][0]["begins"])
        clock.pass_time(begins - clock.now() + timedelta(seconds=1))
        _until(daemon, "running")
        for _ in range(2):
            clock.pass_time(15 * _MINUTE)
            _until(daemon, "running")
    (job,) = _until(daemon, "completed")
    assert any("2 more runs were due" in one and "every 1h would have fitted" in one for one in job["warnings"]), job


def test_bad_schedules_are_refused(daemon: Daemon) -> None:
    """With a code, a hint, and nothing changed."""
    day = "2020-01-01@10:00"
    for words, code, says in (
        (("--once", day), 2, "is over"),
        (("--once", "2026-02-31@10:00"), 2, "no day"),
        (("--every", "7m"), 2, "come out even"),
        (("--cron", "0 0 31 2 *"), 2, "never comes"),
        (("--daily", "02:00", "--every", "1h"), 2, "one way"),
        ((), 2, "say when"),
        (("--every", "1h", "--stop-after", "2h"), 2, "no stop_after"),
    ):
        document = daemon.json("schedule", "add", "docs", *words)
        assert (document["exit"], says in document["error"]["message"]) == (code, True), document
        assert document["error"]["hint"]
    daemon.good("schedule", "add", "docs", "--monthly", "31@04:00", "--jitter", "30m", "--wake", "--overlap", "queue")
    taken = daemon.json("schedule", "add", "docs", "--name", "Monthly", "--daily", "02:00")
    assert taken["exit"] == 17
    assert daemon.json("schedule", "remove", "docs", "none")["exit"] == 10
    assert daemon.good("schedule", "remove", "docs", "monthly", "--dry-run")["dry_run"] is True
    assert daemon.good("schedule", "remove", "docs", "monthly")["changed"] is True
    assert daemon.good("schedule", "list", "docs")["schedules"] == []
    assert daemon.good("schedule", "next")["without"] == ["docs"]


def test_a_destination_that_takes_one_job_at_a_time(daemon: Daemon, tmp_path: Path) -> None:
    """Else two sets at once choke a line that carries one."""
    slow_set.make(daemon, "slow", tmp_path / "place", mib=2)
    daemon.good("destination", "edit", "place", "--jobs-at-once", "1")
    with slow_set.begun(daemon, "slow"):
        (job,) = daemon.good("backup", "docs", "--detach")["jobs"]
        assert daemon.good("job", "show", job["id"])["job"]["waits_for"] == "place: 1 job works there, its limit"
    _until(daemon, "completed", "completed")
    assert daemon.json("destination", "edit", "place", "--jobs-at-once", "65")["exit"] == 2
    daemon.good("destination", "add", "other", tmp_path, "--jobs-at-once", "3", "--no-test")
    assert daemon.good("destination", "show", "other")["destination"]["jobs_at_once"] == 3
