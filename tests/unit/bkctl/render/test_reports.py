"""Reports as text, JSON and CSV, held against files that somebody has read."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest

from backupd.model.jobs import LogLine
from backupd.model.reports import OneReport, Report
from bkctl.render import report_csv, reports
from tests.support.machine import TOP
from tests.support.written_reports import HOSTILE, mixed, page_of, report

GOLDEN = TOP / "tests" / "golden" / "reports"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are shown in the zone of who looks."""
    monkeypatch.setenv("TZ", "UTC")
    import time  # noqa: PLC0415

    time.tzset()


def _golden(name: str) -> str:
    return (GOLDEN / name).read_bytes().decode()


def test_text() -> None:
    lines = reports.page_lines(page_of(mixed(), "1-j00"), "bkctl report list")
    assert "\n".join(lines) + "\n" == _golden("list.txt")


def test_one_as_text() -> None:
    log = [
        LogLine(n=1, time_ns=0, severity="information", message="step 1: destination usb"),
        LogLine(n=2, time_ns=10**9, severity="warning", message="unreadable", path=b"/home/caf\xe9"),
    ]
    found = OneReport(reports=[mixed()[7], mixed()[3]], lines=log, warnings=["no off-site copy"], next=2)
    assert "\n".join(reports.show_lines(found, "bkctl report show j0")) + "\n" == _golden("show.txt")


def test_json() -> None:
    document = reports.page_document(page_of(mixed()))
    assert json.dumps(document, indent=1) + "\n" == _golden("list.json")


def test_csv() -> None:
    text = (report_csv.header() + report_csv.rows(mixed())).decode()
    assert text.count("\r\n") == text.count("\n") == len(mixed()) + 1
    assert text.replace("\r", "") == _golden("export.csv")


def test_csv_is_read_back_whole() -> None:
    """Commas, quotes and line ends of names move no cell."""
    hostile = msgspec.structs.replace(report(), error='a, "b"\nc', destination="x,y")
    table = list(csv.reader(io.StringIO((report_csv.header() + report_csv.rows([hostile])).decode(), newline="")))
    assert [len(row) for row in table] == [len(report_csv.HEADER)] * 2
    found = dict(zip(*table, strict=True))
    assert (found["destination"], found["error"]) == ("x,y", 'a, "b"\\nc')
    assert found["files_new"] == "10"


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(word: str) -> None:
    """What a name says is never computed by who opens the table."""
    rows = report_csv.rows([msgspec.structs.replace(report(), destination=word, error=word)])
    (row,) = csv.reader(io.StringIO(rows.decode(), newline=""))
    found = dict(zip(report_csv.HEADER, row, strict=True))
    assert found["destination"] == found["error"] == f"'{word}"
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_hostile_words_stay_on_their_line() -> None:
    from bkctl.text import escape  # noqa: PLC0415

    one: Report = msgspec.structs.replace(report(), destination=HOSTILE, error=HOSTILE)
    lines = [escape(line) for line in reports.page_lines(page_of([one]), "x")]
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_a_night_over_midnight_and_a_change_of_the_clock_are_told_whole() -> None:
    night = report(0, finished_ns=report(1).finished_ns)
    assert reports.span(night).count("2026-") == 2
    assert reports.span(report()).count("2026-") == 1
    assert reports.span(report(status="missed", started_ns=None)).startswith("due 2026-")
