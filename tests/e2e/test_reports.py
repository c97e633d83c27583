"""Reports of a real daemon: every status provoked, every filter, pages, one job with its log."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args

import pytest

from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob, put_job
from backupd.clock import SystemClock
from backupd.model.reports import ReportStatus
from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon

Reports = list[dict[str, Any]]
_HOUR_NS = 3_600_000_000_000


class House:
    """A daemon on which a job has come to each of the ends that there are."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon, self.source = daemon, daemon.home / "src"
        self.source.mkdir()
        for name, size in {"kept": 1000, "touched": 2000, "edited": 3000, "gone": 4000}.items():
            (self.source / name).write_bytes(os.urandom(size))
        self.make("home", "usb", "--to", daemon.home / "nas")
        self.make("gaps", "usb", "--source", daemon.home / "absent")
        self.make("away", "far")
        self.make("drive", "drive")

    def make(self, name: str, at: str, *words: str | Path) -> None:
        """A set of our source."""
        place = self.daemon.home / at
        self.daemon.good("set", "create", name, "--source", self.source, "--to", place, *words)

    def provoke(self) -> None:
        """Every status, in this order; `missed` by hand: tests/e2e/test_schedules.py has a real one."""
        bkctl = self.daemon.json
        bkctl("backup", "home")
        os.utime(self.source / "touched", ns=(1, 1))
        (self.source / "edited").write_bytes(os.urandom(3500))
        (self.source / "gone").unlink()
        (self.source / "added").write_bytes(os.urandom(500))
        self.job_of_home: str = self.daemon.good("backup", "home")["runs"][0]["job"]
        assert bkctl("backup", "gaps")["exit"] == 3
        # Where somebody has put a file, no repository can be made.
        (self.daemon.home / "far").write_text("in the way")
        assert bkctl("backup", "away")["exit"] not in (0, 3, 4, 5)
        self.daemon.good("backup", "drive")
        (self.daemon.home / "drive").rename(self.daemon.home / "carried-away")
        self.daemon.good("destination", "edit", "drive", "--absent", "skip")
        assert bkctl("backup", "drive")["exit"] == 75
        self.daemon.good("restore", "home", "--to", self.daemon.home / "back")
        self.daemon.good("check", "home", "--from", "usb")
        self.interrupt("calm")
        self.interrupt("torn", "--source", self.daemon.home / "absent")
        self.miss("home")

    def interrupt(self, name: str, *words: str | Path) -> None:
        """A run of a set that is cancelled in its midst."""
        slow_set.make(self.daemon, name, self.daemon.home / "usb", mib=2)
        if words:
            self.daemon.good("set", "edit", name, "--add-source", words[1])
        with slow_set.begun(self.daemon, name) as job:
            self.daemon.good("job", "cancel", job)
        self.daemon.json("job", "wait", job)

    def miss(self, name: str) -> None:
        """What a daemon keeps of a run that was due while it was off."""
        set_id = self.daemon.good("set", "show", name)["set"]["id"]
        self.daemon.stop()
        database = Database(str(self.daemon.state))
        missed = StoredJob(
            id="j" + "7" * 32, kind="backup", state="missed", set_id=set_id, set_name=name, orders=b"",
            caller_uid=os.geteuid(), created_ns=SystemClock().now_ns() - _HOUR_NS, schedule="nightly",
        )  # fmt: skip
        database.write(put_job, missed).result()
        database.close()
        self.daemon.start()

    def reports(self, *words: str | Path) -> Reports:
        """Of `report list`."""
        found: Reports = self.daemon.good("report", "list", *words)["reports"]
        return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Generator[House, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as daemon:
        found = House(daemon)
        found.provoke()
        yield found


def _named(found: Reports) -> set[tuple[str, str, str | None]]:
    return {(one["status"], one["set"], one["destination"]) for one in found}


def test_every_status_is_told_as_it_was(house: House) -> None:
    """Who reads "completed" where a drive was not there believes in a backup that there is not."""
    expected = {
        "completed": {("home", "usb"), ("home", "nas"), ("drive", "drive")},
        "warning": {("gaps", "usb")},
        "failed": {("away", "far")},
        "skipped": {("drive", "drive")},
        "interrupted": {("calm", "usb")},
        "interrupted_with_errors": {("torn", "usb")},
        "missed": {("home", None)},
    }
    for status, which in expected.items():
        found = house.reports("--status", status, "--kind", "backup")
        assert {(one["set"], one["destination"]) for one in found} == which, status
        assert {one["status"] for one in found} == {status}
    assert set(expected) | {"in_progress"} == set(get_args(ReportStatus))
    both = house.reports("--status", "failed,missed")
    assert {one["status"] for one in both} == {"failed", "missed"}


def test_a_job_under_way_is_in_progress(house: House) -> None:
    """Also where one of its destinations is done: the other is not."""
    slow_set.make(house.daemon, "two", house.daemon.home / "usb", house.daemon.home / "nas", mib=2)
    with slow_set.begun(house.daemon, "two"):
        (one,) = house.reports("two")
        assert (one["status"], one["destination"], one["finished"]) == ("in_progress", None, None)
        assert house.reports("two", "--status", "completed") == []
        assert _named(house.reports("--status", "in_progress")) == {("in_progress", "two", None)}
    house.daemon.json("job", "wait", "two@latest")


def test_files_and_bytes_are_told_by_what_became_of_them(house: House) -> None:
    """A run that stored everything anew, and one that touched attributes alone, must not look alike."""
    here = house.reports("home", "--to", "usb", "--kind", "backup", "--status", "completed")
    second, first = here
    assert (first["files"]["new"], first["bytes"]["new"]) == (4, 10_000)
    files, sizes = second["files"], second["bytes"]
    assert files["seen"] == 4
    for name, expected in {
        "new": (1, 500),
        "changed": (1, 3500),
        "attributes": (1, 2000),
        "deleted": (1, 4000),
        "failed": (0, 0),
    }.items():
        assert (files[name], sizes[name]) == expected, name
    assert first["held_bytes"] < second["held_bytes"]
    assert second["free_bytes"] > 0
    assert first["started"] <= first["finished"] <= second["started"]
    (restored,) = house.reports("--kind", "restore")
    assert restored["files"]["fetched"] == 4
    assert restored["bytes"]["fetched"] > 0
    (checked,) = house.reports("--kind", "check")
    assert (checked["problems"], checked["destination"]) == (0, "usb")
    (missing,) = house.reports("gaps")
    assert (missing["files"]["failed"], missing["problems"], missing["exit"]) == (1, 1, 3)


def test_filters_say_which(house: House) -> None:
    """One report in a thousand is looked for by its set, its place, its time or what it was."""
    assert {one["set"] for one in house.reports("home", "gaps")} == {"home", "gaps"}
    assert {one["destination"] for one in house.reports("--destination", "nas")} == {"nas"}
    assert {one["destination"] for one in house.reports("--to", "nas", "--to", "far")} == {"nas", "far"}
    assert {one["kind"] for one in house.reports("--kind", "check,restore")} == {"check", "restore"}
    assert _named(house.reports("--until", "30m ago")) == {("missed", "home", None)}
    assert house.reports("--until", "8d") == []
    # The last job may have been asked for less than a second ago.
    slow_set.wait_for(lambda: house.reports("--since", "1s", "--until", "now") == [], 20)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert len(house.reports("--since", "2000-01-01", "--until", today)) >= len(house.reports()) - 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--status", "fine"), "completed, warning"),
        (("--kind", "drill"), "backup, restore"),
        (("--since", "soon"), "a span as 7d"),
        (("--since", "2026-02-31"), "a span as 7d"),
        (("--since", "1d", "--until", "2d"), "the earlier"),
        (("--after", "12-j00"), "next"),
        (("--limit", "0"), ""),
    ],
)
def test_words_that_mean_nothing_are_refused(house: House, words: tuple[str, ...], hint: str) -> None:
    """An empty list would say that nothing had failed."""
    document = house.daemon.json("report", "list", *words)
    assert document["exit"] == 2, document
    assert hint in document["error"]["hint"]


def test_what_nobody_knows_is_not_found(house: House) -> None:
    for words in (("list", "nobody"), ("list", "--to", "nowhere"), ("show", "j0000"), ("show", "nobody@latest")):
        assert house.daemon.json("report", *words)["exit"] == 10, words


def test_pages_are_the_whole(house: House) -> None:
    """Who goes through them page by page misses no failure and counts none twice."""
    whole = house.reports("--limit", "1000")
    found: Reports = []
    words: tuple[str, ...] = ()
    while True:
        page = house.daemon.good("report", "list", "--limit", "2", *words)
        found += page["reports"]
        assert len(page["reports"]) <= 2
        if page["next"] is None:
            break
        words = ("--after", page["next"])
    assert found == whole
    assert len(whole) > 10
    assert [one["created"] for one in whole] == sorted((one["created"] for one in whole), reverse=True)


def test_one_job_is_shown_with_its_log(house: House) -> None:
    """The line that says why is found without reading all others."""
    daemon = house.daemon
    shown = daemon.good("report", "show", house.job_of_home)
    assert {one["destination"] for one in shown["reports"]} == {"usb", "nas"}
    assert len({one["job"] for one in shown["reports"]} | {shown["job"]}) == 1
    assert shown["lines"], "its log"
    failed = daemon.good("report", "show", "away@failed", "--severity", "error,warning")
    assert {line["severity"] for line in failed["lines"]} <= {"error", "warning"}
    assert failed["lines"]
    assert failed["reports"][0]["error"]
    numbers, words = list[int](), tuple[str, ...]()
    while True:
        page = daemon.good("report", "show", shown["job"], "--limit", "3", *words)
        numbers += [line["n"] for line in page["lines"]]
        if page["next"] is None:
            break
        words = ("--after", page["next"])
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 3
    assert daemon.json("report", "show", "latest", "--severity", "dreadful")["exit"] == 2


def test_all_of_them_are_exported(house: House) -> None:
    """A year's reports go into a spreadsheet, a program, or a page that one reads and prints."""
    daemon, home = house.daemon, house.daemon.home
    whole = house.reports("--limit", "1000")
    shown = daemon.bkctl("report", "export", "--format", "csv")
    table = list(csv.DictReader(io.StringIO(shown.stdout.decode(), newline="")))
    assert [(row["job"], row["destination"] or None, row["status"]) for row in table] == [
        (one["job"], one["destination"], one["status"]) for one in whole
    ]
    assert {row["status"] for row in table} >= {"missed", "failed", "interrupted_with_errors"}
    plain = json.loads(daemon.bkctl("report", "export", "--format", "json").stdout)
    assert plain["result"]["reports"] == whole
    (usb,) = [one for one in plain["result"]["copies"] if (one["set"], one["destination"]) == ("home", "usb")]
    assert usb["stored_bytes"] == house.reports("home", "--to", "usb", "--kind", "backup")[0]["held_bytes"]
    assert usb["growth_bytes_per_day"] is None, "two runs are no trend"
    assert daemon.good("report", "export", "--format", "json", "--status", "missed")["reports"] == house.reports(
        "--status", "missed"
    )
    few = daemon.good(
        "report", "export", "--format", "json", "--kind", "backup", "--to", "usb", "--since", "1h", "--until", "now"
    )
    assert few["reports"] == house.reports("--kind", "backup", "--to", "usb", "--since", "1h", "--until", "now")
    path = home / "page.html"
    done = daemon.bkctl("report", "export", "--format", "html", "--since", "30d", "--output", path)
    assert done.returncode == 0, done.stderr
    page = path.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Some backups need a hand." in page
    assert "away at far: the last backup: failed" in page
    assert page.count('class="chart"') >= 6
    assert 'class="strip"' in page


def test_an_export_that_can_not_be_leaves_no_file(house: House) -> None:
    """A page of yesterday must not be taken for today's."""
    path = house.daemon.home / "nothing.csv"
    for words in (("--format", "csv", "nobody"), ("--format", "html", "--json"), ("--format", "xml"), ()):
        done = house.daemon.bkctl("report", "export", *words, "--output", path)
        assert done.returncode in (2, 10), words
        assert not path.exists() or b'"ok":false' in path.read_bytes()
        path.unlink(missing_ok=True)


def test_settings_rotate_at_once(house: House) -> None:
    """Who sets less to be kept frees that space now, and loses nothing that status shows."""
    daemon = house.daemon
    before = _copies(daemon)
    checks = daemon.state / "checks"
    old = checks / "2001-01-01T000000Z-r12345678-ab12.log"
    old.write_text("information\n")
    assert daemon.json("config", "set", "logs.keep", "1h")["exit"] == 2
    assert daemon.json("config", "set", "logs.most", "1KiB")["exit"] == 2
    daemon.good("config", "set", "logs.keep", "2d")
    slow_set.wait_for(lambda: not old.exists(), 20)
    assert list(checks.iterdir()), "that of today stays"
    assert _copies(daemon) == before


def _copies(daemon: Daemon) -> Reports:
    copies = [copy for one in daemon.good("status")["sets"] for copy in one["destinations"]]
    return [{**copy, "age_seconds": None} for copy in copies]


def test_people_read_it_line_by_line(house: House) -> None:
    """What went wrong stands out, with what to type next."""
    text = house.daemon.bkctl("report", "list", "--limit", "3").stdout.decode()
    assert re.sub(" +", " ", text.split("\n")[0]) == "JOB KIND SET DESTINATION STATUS BEGAN - ENDED CAME TO"
    assert "More: bkctl report list --limit 3 --after " in text
    every = house.daemon.bkctl("report", "list").stdout.decode()
    for word in ("FAILED", "MISSED", "with warnings", "interrupted with errors", "UTC", "1 attributes only"):
        assert word in every
    assert "No such report" in house.daemon.bkctl("report", "list", "--until", "90d").stdout.decode()
    shown = house.daemon.bkctl("report", "show", house.job_of_home).stdout.decode()
    assert "backup of home at usb: completed" in shown
    assert "Log:" in shown
