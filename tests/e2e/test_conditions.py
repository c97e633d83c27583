"""Sets that run under conditions, by a real daemon: what is not met skips those that nobody asked for."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon
from tests.support.fake_clock import FakeClock, fake_clock

_OFFICE = """GENERAL.STATE:100 (connected)
GENERAL.METERED:yes (guessed)
GENERAL.CONNECTION:Office
IP4.GATEWAY:10.0.0.1
"""
_HOME = _OFFICE.replace("yes", "no").replace("Office", "Wired")
_ENDED = ("completed", "warning", "skipped", "failed")
_NMCLI = """#!/bin/sh
# As NetworkManager's, asked for what backupd asks it.
case "$*" in
*"device show") cat "{0}/devices" ;;
*"device wifi list --rescan no") test -e "{0}/wifi" && cat "{0}/wifi" ;;
*) exit 2 ;;
esac
"""


class Roaming(Daemon):
    """On a machine whose network the test changes."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}"}

    def connect(self, devices: str, wifi: str = "") -> None:
        (self.home / "bin").mkdir(exist_ok=True)
        (self.home / "devices").write_text(devices)
        (self.home / "wifi").write_text(wifi)
        (self.home / "bin" / "nmcli").write_text(_NMCLI.format(self.home))
        (self.home / "bin" / "nmcli").chmod(0o755)

    def backups(self) -> list[dict[str, Any]]:
        """Newest first."""
        return [job for job in self.good("job", "list")["jobs"] if job["kind"] == "backup"]


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Roaming, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "letter").write_text("dear")
    started = Roaming(tmp_path / "home")
    started.connect(_OFFICE)
    with fake_clock(started):
        started.start()
        try:
            yield started
        finally:
            started.stop()


def _warnings(daemon: Roaming) -> list[str]:
    return list(daemon.json("status")["result"]["settings_warnings"])


def _next_run(daemon: Roaming, clock: FakeClock) -> dict[str, Any]:
    """Let the time pass until the next run is due, and that end."""
    (run,) = daemon.good("schedule", "next", "docs", "--count", "1")["runs"]
    before = len(daemon.backups())
    clock.pass_time(datetime.fromisoformat(run["begins"]) - clock.now() + timedelta(seconds=1))
    daemon.good("config", "reload")
    slow_set.wait_for(lambda: [one["state"] in _ENDED for one in daemon.backups()] == [True] * (before + 1), 30)
    return daemon.backups()[0]


def test_a_scheduled_run_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """A run that eats the month's volume, or stores an empty mount point over what lay there, does harm."""
    source, drive = tmp_path / "source", tmp_path / "drive"
    for directory in (source, drive):
        directory.mkdir()
    (source / "letter").write_text("dear")
    daemon = Roaming(tmp_path / "home")
    daemon.connect(_OFFICE)
    with fake_clock(daemon) as clock:
        daemon.start()
        words = ("--not-on-metered", "--in-network", "Home: 5", "--if-mounted", drive, "--if-present", source)
        daemon.good("set", "create", "docs", "--source", source, "--to", tmp_path / "place", *words)
        daemon.good("schedule", "add", "docs", "--every", "1h")

        skipped = _next_run(daemon, clock)
        assert (skipped["state"], skipped["exit"], skipped["error"]["code"]) == ("skipped", 75, "run.skipped")
        why = skipped["error"]["message"]
        assert why.startswith("docs is skipped: Home: 5 is not connected; connected is Office; the network is metered;")
        assert why.endswith(f"nothing is mounted on {drive}")
        assert "bkctl backup docs" in skipped["error"]["hint"]
        report = daemon.good("report", "list")["reports"][0]
        assert (report["status"], report["error"]) == ("skipped", why)
        assert not (tmp_path / "place").exists()

        by_hand = daemon.json("backup", "docs")
        assert by_hand["exit"] == 0
        assert any("by itself docs would be skipped now: Home: 5 is not" in one for one in by_hand["warnings"])

        daemon.connect(_HOME, "no:Office\nyes:Home\\: 5\n")
        daemon.good("set", "edit", "docs", "--if-mounted", "")
        assert _next_run(daemon, clock)["state"] == "completed"

        # Who can't be asked keeps no run from being made, and is told of.
        (daemon.home / "bin" / "nmcli").write_text("#!/bin/sh\nexit 8\n")
        done = _next_run(daemon, clock)
        assert done["state"] == "completed"
        told = "which network the machine is in can't be told here"
        assert any(told in one for one in done["warnings"])
        # By day, too: when it is asked for, and by who looks after the machine.
        assert any(f"docs: {told}" in one for one in daemon.json("set", "edit", "docs", "--on-metered")["warnings"])
        (found,) = [one for one in daemon.json("doctor")["result"]["findings"] if one["check"] == "conditions"]
        assert (found["verdict"], f"docs: {told}" in found["message"]) == ("look", True)
        daemon.stop()


def test_a_source_on_a_drive_that_is_away_is_skipped_by_hand_too(daemon: Roaming, tmp_path: Path) -> None:
    """Its empty mount point would be stored, and retention drop what was there, as if somebody had deleted it."""
    source, place = tmp_path / "source", tmp_path / "place"
    daemon.good("set", "create", "docs", "--source", source / "photos", "--to", place, "--if-mounted", source)
    for words in ((), ("--dry-run",), ("--all",)):
        document = daemon.json("backup", *(words if "--all" in words else ("docs", *words)))
        assert (document["exit"], document["error"]["code"]) == (75, "run.skipped"), document
        assert document["error"]["message"] == f"docs is skipped: nothing is mounted on {source}"
        assert "bkctl set edit docs --if-mounted ''" in document["error"]["hint"]
    assert {report["status"] for report in daemon.good("report", "list")["reports"]} == {"skipped"}
    user = pwd.getpwuid(os.geteuid()).pw_name
    away = daemon.home / "away"
    daemon.good("set", "create", "mine", "--source", f"home@{user}", "--to", place, "--if-present", away)
    assert daemon.json("backup", "mine")["exit"] == 75, "a shortcut means a source"
    daemon.good("set", "edit", "docs", "--if-mounted", "/", "--add-source", source)
    assert daemon.json("backup", "docs")["exit"] == 3


@pytest.mark.platform("linux")
def test_a_watched_set_waits_until_the_condition_is_met(daemon: Roaming, tmp_path: Path) -> None:
    """What changed meanwhile is stored then, by one run."""
    there = tmp_path / "there"
    pace = {"quiet": "1s", "longest": "10s", "shortest": "0s"}
    text = {"name": "docs", "sources": [str(tmp_path / "source")], "to": ["place"], "continuous": pace}
    text["conditions"] = {"present": [str(there)]}
    document = {"destinations": [{"name": "place", "place": str(tmp_path / "place")}], "sets": [text]}
    daemon.good("set", "apply", "-f", "-", stdin=json.dumps(document).encode())
    told = f"docs: what changed is not stored yet: {there} is not there"
    slow_set.wait_for(lambda: told in _warnings(daemon), 20)
    assert daemon.backups() == []
    there.touch()
    slow_set.wait_for(lambda: [one["state"] for one in daemon.backups()] == ["completed"], 30)
    assert told not in _warnings(daemon)
