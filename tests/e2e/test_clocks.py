"""Clocks that jump, and months that pass while a daemon runs (tests/support/fake_clock.py)."""

from __future__ import annotations

import signal
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.fake_clock import FakeClock, fake_clock
from tests.support.machine import Machine

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock(tmp_path: Path) -> Generator[FakeClock, None, None]:
    with fake_clock(Daemon(tmp_path / "home")) as found:
        yield found


@pytest.fixture
def daemon(tmp_path: Path, clock: FakeClock) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"same-{number}").write_bytes(bytes([number]) * 5000)
    (source / "letter").write_text("the first")
    with running_daemon(tmp_path / "home") as started:
        made = ("docs", "--source", source, "--to", tmp_path / "place", "--max-age", "26h")
        started.good("set", "create", *made)
        yield started


def _backed_up(daemon: Daemon) -> tuple[dict[str, Any], list[str]]:
    """Files by their state, and what is warned of."""
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    return document["result"]["runs"][0]["files"], document["warnings"]


def _verdict(daemon: Daemon) -> str:
    found: str = daemon.good("status")["sets"][0]["destinations"][0]["verdict"]
    return found


def test_a_clock_that_was_set_back_a_year_loses_nothing(daemon: Daemon, clock: FakeClock, tmp_path: Path) -> None:
    """Else a snapshot of the wrong time passes for the newest unsaid, and each run of that year reads every file."""
    source = tmp_path / "source"
    _backed_up(daemon)
    clock.set_wall(-365 * _DAY)
    for text in ("the second", "the third, longer", "the fourth, longer than that"):
        (source / "letter").write_text(text)
        files, warnings = _backed_up(daemon)
        if text != "the second":  # which reads all: whether a month went by since the last reading nobody knows
            assert (files["same"], files["changed"]) == (3, 1), files
        assert any("dated after now" in warning for warning in warnings), warnings
        clock.pass_time(_HOUR)
    assert _verdict(daemon) == "good"

    listed = daemon.good("snapshot", "list", "docs")["snapshots"]
    assert [one["time"] for one in listed] == sorted(one["time"] for one in listed)
    assert len(listed) == 4
    named = ["the second", "the third, longer", "the fourth, longer than that", "the first"]
    for number, (one, text) in enumerate(zip(listed, named, strict=True)):
        out = tmp_path / f"out-{number}"
        daemon.good("restore", "docs", "--as-of", one["short"], "--to", out)
        assert (out / str(source)[1:] / "letter").read_text() == text
    assert compare_trees(source, tmp_path / "out-2" / str(source)[1:]) == []
    latest = daemon.json("restore", "docs", "--to", tmp_path / "latest")
    assert any(listed[3]["short"] in warning and "after now" in warning for warning in latest["warnings"]), latest
    daemon.good("check", "docs", "--crc")


def test_a_month_later_every_file_is_read_again(daemon: Daemon, clock: FakeClock) -> None:
    """Else a file that changed behind its time and size is never stored."""
    _backed_up(daemon)
    clock.pass_time(30 * _DAY)
    assert _backed_up(daemon)[0]["same"] == 4
    clock.pass_time(2 * _DAY)
    before = clock.now()
    _backed_up(daemon)
    newest = daemon.good("snapshot", "show", "docs")
    assert newest["statistics"]["read_all_ns"] >= before.timestamp() * 1e9 - 1000


def test_a_set_is_overdue_once_its_time_has_passed(daemon: Daemon, clock: FakeClock) -> None:
    """Else nobody learns that there have been no backups since, or is told so too early."""
    _backed_up(daemon)
    assert _verdict(daemon) == "good"
    clock.pass_time(25 * _HOUR)
    assert _verdict(daemon) == "good"
    clock.pass_time(2 * _HOUR)
    assert _verdict(daemon) == "overdue"
    clock.set_wall(-60 * _DAY)
    assert _verdict(daemon) == "overdue", "dated after now is not fresh"
    checks = {one["check"]: one["verdict"] for one in daemon.json("doctor")["result"]["findings"]}
    assert checks["clock"] == "wrong"


def test_how_long_a_writer_was_silent_is_told(tmp_path: Path, clock: FakeClock) -> None:
    """By it another host decides whether a session is dead: one that is told too old is ended while its writer runs."""
    with running_daemon(tmp_path / "home") as daemon:
        slow_set.make(daemon, "slow", tmp_path / "place", mib=2)
        with slow_set.begun(daemon, "slow"):
            slow_set.wait_until_announced(tmp_path / "place")
            daemon.ask_to_stop(signal.SIGSTOP)
            slow_set.kill_jobs(daemon)
            daemon.kill()
    words = ("destination", "sessions", tmp_path / "place", "--password-file", next(daemon.home.rglob("r*.key")))
    other = Machine(tmp_path / "other")
    with fake_clock(other) as others:
        ages = []
        for passed in (timedelta(0), 7 * _HOUR):
            others.pass_time(passed)
            (found,) = other.json(*words)["result"]["sessions"]
            ages.append(found["age_seconds"])
        others.set_wall(-30 * _DAY)
        (found,) = other.json(*words)["result"]["sessions"]
        assert found["age_seconds"] == 0, "a clock that is behind tells nothing of it"
        assert 7 * 3600 <= ages[1] - ages[0] < 8 * 3600
        assert other.json(*words, "--revoke", found["short"], "--yes")["exit"] == 0
        assert other.json(*words)["result"]["sessions"] == []
