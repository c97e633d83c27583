"""The exported page: whole HTML that loads nothing, charts whose numbers are right, for no run and for ten thousand."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from backupd.model.areas import Area, Areas, Savings
from backupd.model.reports import Report
from backupd.model.status import SetStatus
from bkctl.render import charts, forecast, report_page
from bkctl.render.report_charts import copy_charts
from bkctl.render.report_page import Frame
from bkctl.render.reports import WORDS
from tests.support.standing import a_copy, a_set
from tests.support.written_reports import BEGIN_NS, DAY_NS, HOSTILE, figures_of, mixed, report

_VOID = {"meta"}
_NUMBERS = ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r")


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data + " "

    def of(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        """Attributes of the elements of a tag and class."""
        return [found for one, found in self.elements if one == tag and kind in str(found.get("class", "")).split(" ")
                or (one == tag and not kind)]  # fmt: skip


def page(reports: Sequence[Report], sets: Sequence[SetStatus] | None = None, days: int = 10) -> Page:
    """The page of these, newest first, and what always has to be so."""
    frame = Frame(BEGIN_NS - DAY_NS, None, BEGIN_NS + days * DAY_NS, "", sets)
    html = "".join(report_page.page(figures_of(list(reports)), frame))
    found = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "image", "use", "a"}
    assert not re.search(r"https?:|url\(|@import|javascript:|\son\w+=", html)
    for _, attributes in found.elements:
        for name in _NUMBERS:
            if attributes.get(name) is not None:
                assert math.isfinite(float(str(attributes[name])))
        for point in str(attributes.get("points") or "").split():
            assert all(math.isfinite(float(number)) for number in point.split(","))
    return found


def standing(**fields: object) -> list[SetStatus]:
    return [a_set(msgspec.structs.replace(a_copy("usb", "good"), **fields))]


def test_no_report_is_said() -> None:
    found = page([])
    assert "There is no report of this time." in found.words
    assert found.of("svg") == []


def test_one_run_is_enough() -> None:
    found = page([report(9)])
    assert "All is well" in found.words
    assert len(found.of("svg", "chart")) == 3
    assert len(found.of("circle")) == 3, "a line of one point is still seen"


def test_the_sentence_says_what_is_wrong() -> None:
    """Who reads nothing else must not go away calm when a backup failed."""
    good = [report(day) for day in range(9, -1, -1)]
    bad = [report(9.5, status="failed", exit_code=15, error="no route to host", held_bytes=None), *good]
    assert "Some backups need a hand." in page(bad).words
    assert "home at usb: the last backup: failed: no route to host" in page(bad).words
    assert "All is well" in page([*good, report(0, status="failed")]).words, "it was good since"
    assert "the last backup: with warnings" in page([report(9.5, status="warning"), *good]).words
    assert "the last good backup is 40 days old" in page(good, days=49).words
    only_missed = report(9, status="missed", destination=None, held_bytes=None)
    assert "no backup was good in this time" in page([only_missed]).words
    end_ns = BEGIN_NS + 22 * DAY_NS
    assert "usb will be full in about 12 days" in page(good, standing(full_at_ns=end_ns)).words
    damaged = standing(reason="3 blocks")
    damaged[0].copies[0] = msgspec.structs.replace(damaged[0].copies[0], verdict="damaged")
    assert "home at usb: damaged: 3 blocks" in page(good, damaged).words
    other = msgspec.structs.replace(standing()[0], set="photos")
    assert "photos: no backup in this time" in page(good, [other]).words


def test_the_page_and_status_foretell_the_same() -> None:
    """The first that will be full comes first, each once, also where a copy of another set there tells nothing."""
    sets = standing(full_at_ns=BEGIN_NS + 22 * DAY_NS)
    usb = sets[0].copies[0]
    nas = msgspec.structs.replace(usb, destination="nas", full_at_ns=BEGIN_NS + 11 * DAY_NS)
    far = msgspec.structs.replace(usb, destination="far", full_at_ns=BEGIN_NS + 41 * DAY_NS)
    sets[0].copies[:] = [usb, nas, far]
    sets.append(msgspec.structs.replace(sets[0], set="photos", copies=[msgspec.structs.replace(usb, full_at_ns=None)]))
    good = [report(9, set_name=one, destination=at) for one, at in (("home", "usb"), ("home", "nas"), ("home", "far"),
            ("photos", "usb"))]  # fmt: skip
    words = page(good, sets).words
    assert "far will be full" not in words
    assert "nas will be full in about 1 day at" in words
    assert words.count("usb will be full in about 12 days at") == 1
    assert words.index("nas will be full") < words.index("usb will be full")
    assert forecast.lines(sets, BEGIN_NS + 10 * DAY_NS) == ["Full soon at this rate: nas in 1 day, usb in 12 days"]


_NOWHERE: dict[str, Any] = {"destination": None, "held_bytes": None, "snapshot": None}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("missed", "it was due and never began"),
        ("interrupted", "backupd ended while the job ran"),
        ("interrupted", "cancelled before it began"),
        ("failed", "the job was queued by another version of backupd"),
    ],
)
def test_what_came_to_no_destination_counts_for_each(status: str, error: str) -> None:
    """A power cut of last night leaves no run at any destination, and the backups before it were all good."""
    good = [report(day, destination=at) for day in (2, 1) for at in ("usb", "nas")]
    cut = report(3, status=status, error=error, **_NOWHERE)
    words = page([cut, *good]).words
    assert "Some backups need a hand." in words
    for at in ("usb", "nas"):
        assert f"home at {at}: the last backup: {WORDS[cut.status].lower()}: {error}" in words
    assert "All is well" in page([report(4), report(4, destination="nas"), cut, *good]).words, "it was good since"
    late = page([report(4), cut, *good]).words
    assert ("home at nas: the last backup" in late, "home at usb: the last backup" in late) == (True, False)
    other = report(3.5, set_name="photos")
    assert "photos at usb: the last" not in page([other, cut, *good]).words, "of its own set alone"
    assert "Some backups need a hand." in page([report(3.7, status="in_progress", **_NOWHERE), cut, *good]).words


@pytest.mark.parametrize("status", ["skipped", "in_progress"])
def test_what_says_nothing_hides_nothing(status: str) -> None:
    """A drive that is not there today does not make good what failed on it yesterday."""
    after = report(9.5, status=status, held_bytes=None, snapshot=None)
    failed = report(9, status="failed", error="no route to host", held_bytes=None)
    found = page([after, failed, report(8)])
    assert "Some backups need a hand." in found.words
    assert "home at usb: the last backup: failed: no route to host" in found.words
    assert "the last backup: with warnings" in page([after, report(9, status="warning"), report(8)]).words
    assert "All is well" in page([after, report(9)]).words


def test_every_status_has_its_place() -> None:
    found = page(mixed())
    for word in ("completed", "with warnings", "interrupted with errors", "failed", "missed", "skipped", "in progress"):
        assert word in found.words
    tall = [cell for cell in found.of("rect") if cell["height"] == "30"]
    assert {cell["class"] for cell in tall} == {"failed", "missed", "interrupted", "interrupted_with_errors"}
    assert len(found.of("rect", "none")) > 0, "days without a backup"


def test_foreign_words_are_words() -> None:
    """A name that a destination or an error brings runs nothing in the reader's browser."""
    names = {"set_name": HOSTILE, "destination": HOSTILE, "error": HOSTILE}
    found = page([report(9, status="failed", **names), report(8, **names)])
    assert "<script>" in found.words
    assert "\x1b" not in found.words


def test_the_numbers_of_the_charts_are_those_of_the_runs() -> None:
    """A chart that is drawn wrong is believed all the same."""
    days = [report(day, held_bytes=(day + 1) * (1 << 30)) for day in range(9, -1, -1)]
    (copy,) = figures_of(days).copies()
    svg = Page(copy_charts(copy))
    (line, *_) = svg.of("polyline", "held")
    points = [tuple(map(float, point.split(","))) for point in str(line["points"]).split()]
    assert len(points) == 10
    heights = [128 - y for _, y in points]
    assert heights == pytest.approx([heights[0] * (day + 1) for day in range(10)], abs=0.6)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert "10.0 GiB at the end, up from 1.0 GiB." in svg.words
    assert "Usually 5 min 00 s, at most 5 min 00 s." in svg.words
    # Of 5 MB read 2 were lacking, of which 1 was stored.
    assert "60% of what was read was there already, 50% of the rest was spared by compression." in " ".join(
        svg.words.split()
    )


def test_growth_forecast_and_areas_are_told_where_they_are_known() -> None:
    area = Area(files=1, source_bytes=5 << 30, plain_bytes=4 << 30, compressed_bytes=2 << 30, stored_bytes=3 << 30)
    areas = Areas(
        as_of_ns=BEGIN_NS, is_current=True, data=area, retention=area,
        savings=Savings(deduplication_bytes=7 << 30, compression_bytes=-5),
    )  # fmt: skip
    sets = standing(growth_bytes_per_day=5 << 20, full_at_ns=BEGIN_NS + 400 * DAY_NS, areas=areas)
    words = page([report(9)], sets).words
    for expected in ("+5.0 MiB a day", "2027-", "What is stored", "3.0 GiB", "7.0 GiB"):
        assert expected in words


def test_ten_thousand_runs_are_a_page_of_the_same_size() -> None:
    """Years of history must neither take minutes nor make a page that no browser opens."""
    many = [report(number / 10, destination=f"d{number % 3}") for number in range(10_000, 0, -1)]
    began = time.monotonic()
    frame = Frame(BEGIN_NS, None, BEGIN_NS + 1001 * DAY_NS, "", None)
    html = "".join(report_page.page(figures_of(many), frame))
    assert time.monotonic() - began < 5
    assert len(html) < 300_000
    found = Page(html)
    assert all(len(str(line["points"]).split()) <= charts.MOST_POINTS for line in found.of("polyline"))
    assert "10,000" in found.words
    assert "of which the newest 50 stand here" in found.words
    assert len(found.of("rect")) < 700


def test_thinning_keeps_the_last_and_the_highest() -> None:
    points = [(float(x), float(x % 97)) for x in range(5000)]
    kept = charts.thinned(points, charts.last_of)
    assert (len(kept), kept[-1]) == (charts.MOST_POINTS, points[-1])
    assert max(charts.thinned(points, charts.highest_of), key=lambda point: point[1])[1] == 96.0
    assert charts.thinned(points[:3], charts.last_of) == points[:3]


@pytest.mark.parametrize("base", [1.0, 60.0, 1024.0])
@pytest.mark.parametrize("highest", [0.0, 0.004, 0.7, 1.0, 59.0, 3601.0, 10.0**6, 2.0**50, 10.0**17])
def test_the_grid_has_few_round_lines(highest: float, base: float) -> None:
    step = charts.nice_step(highest, base)
    assert step > 0
    assert highest / step <= 3.01
    assert highest < step or highest / step > 1.1
