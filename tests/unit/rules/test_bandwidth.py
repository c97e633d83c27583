"""Which limit of bandwidth holds when: golden cases, both clock changes, and that of several the lowest holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.errors import UsageError
from backupd.model.bandwidth import Direction, RuleText
from backupd.rules.bandwidth import Rule, applies, holds, lowest, rule_of, told

VIENNA = ZoneInfo("Europe/Vienna")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def rule(**fields: object) -> Rule:
    return rule_of(RuleText(**{"name": "r", "rate": "2 MiB/s", **fields}), ZoneInfo)  # type: ignore[arg-type]


def at(text: str) -> datetime:
    """A moment by the clock on the wall in Vienna; `+` at its end: the second time that it shows this."""
    return datetime.fromisoformat(text.rstrip("+")).replace(tzinfo=VIENNA, fold=int(text.endswith("+"))).astimezone(UTC)


OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "begins": "08:00", "ends": "18:00"}
NIGHT = {"days": ["fri"], "begins": "22:00", "ends": "06:00"}


@pytest.mark.parametrize(
    ("fields", "moment", "is_so"),
    [
        ({}, "2026-11-22T03:00", True),
        (OFFICE, "2026-11-23T08:00", True),
        (OFFICE, "2026-11-23T07:59", False),
        (OFFICE, "2026-11-23T17:59:59", True),
        (OFFICE, "2026-11-23T18:00", False),
        (OFFICE, "2026-11-22T12:00", False),  # a Sunday
        (NIGHT, "2026-11-20T22:00", True),  # a Friday
        (NIGHT, "2026-11-21T05:59", True),
        (NIGHT, "2026-11-21T06:00", False),
        (NIGHT, "2026-11-21T23:00", False),
        (NIGHT, "2026-11-20T05:00", False),
        ({"days": ["sun"], "begins": "22:00", "ends": "06:00"}, "2026-11-23T05:00", True),  # into a Monday
        ({"days": ["sat"]}, "2026-11-21T00:00", True),
        ({"days": ["sat"]}, "2026-11-22T00:00", False),
        ({"begins": "20:00"}, "2026-11-22T23:59", True),
        ({"begins": "20:00"}, "2026-11-22T00:00", False),
        ({"ends": "06:00"}, "2026-11-22T05:59", True),
        ({"ends": "24:00"}, "2026-11-22T23:59", True),
        # On 2026-03-29 the clock goes from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
        ({"begins": "02:00", "ends": "03:00"}, "2026-03-29T03:00", False),
        ({"begins": "02:00", "ends": "03:00"}, "2026-03-29T01:59", False),
        ({"begins": "01:00", "ends": "03:30"}, "2026-03-29T03:29", True),
        ({"begins": "02:00", "ends": "03:00"}, "2026-10-25T02:30", True),
        ({"begins": "02:00", "ends": "03:00"}, "2026-10-25T02:30+", True),
        ({"begins": "02:30", "ends": "03:00"}, "2026-10-25T02:00+", False),
    ],
)
def test_golden_moments(fields: dict[str, object], moment: str, is_so: bool) -> None:
    """A limit that holds an hour off slows the night's backup down, or the office."""
    assert holds(rule(zone="Europe/Vienna", **fields), at(moment), UTC) is is_so
    assert holds(rule(**fields), at(moment), VIENNA) is is_so, "without a zone of its own, that of the job counts"


def test_a_time_of_the_day_comes_once_in_each_day_without_a_clock_change() -> None:
    """Five hours of a window are five hours; four on the day that skips one, six on the one that repeats one."""
    for day, hours in (("2026-11-22", 5), ("2026-03-29", 4), ("2026-10-25", 6)):
        window = rule(begins="00:00", ends="05:00", zone="Europe/Vienna")
        start = at(f"{day}T00:00")
        minutes = sum(holds(window, start + timedelta(minutes=one), UTC) for one in range(23 * 60))
        assert minutes == hours * 60, day


RULES = st.builds(
    rule,
    rate=st.sampled_from(["64 kbit/s", "1 MiB/s", "2 MiB/s", "20 Mbit/s"]),
    direction=st.sampled_from(["upload", "download", "both"]),
    days=st.lists(st.sampled_from(DAYS), unique=True),
    begins=st.sampled_from([None, "00:00", "08:00", "22:00"]),
    ends=st.sampled_from([None, "06:00", "18:30", "24:00"]),
    zone=st.sampled_from([None, "Europe/Vienna", "America/New_York", "Asia/Kathmandu"]),
    destinations=st.lists(st.sampled_from(["a", "b"]), unique=True),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.lists(RULES, max_size=6), MOMENTS, st.sampled_from(["upload", "download"]), st.sampled_from(["a", "b", ""]))
def test_of_those_that_hold_the_lowest_does(rules: list[Rule], moment: datetime, direction: str, name: str) -> None:
    """Two rules for one line: the looser one must not lift the tighter one."""
    way: Direction = "upload" if direction == "upload" else "download"
    found = lowest(rules, moment, way, name, VIENNA)
    rates = [
        one.bytes_a_second
        for one in rules
        if way in one.directions
        and (not one.destinations or name in one.destinations)
        and holds(one, moment, VIENNA)
    ]
    assert (found.bytes_a_second if found is not None else None) == min(rates, default=None)


def test_directions_and_destinations() -> None:
    """A limit of one line must not slow another."""
    both, up = rule(), rule(direction="upload", destinations=["a"])
    assert applies(both, "upload", "")
    assert applies(both, "download", "b")
    assert applies(up, "upload", "a")
    assert not applies(up, "download", "a")
    assert not applies(up, "upload", "b")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rate": "fast"}, "rate"),
        ({"rate": "2 Mb/s"}, "rate"),
        ({"rate": "1 kbit/s"}, "rate"),
        ({"begins": "8"}, "from"),
        ({"begins": "08:60"}, "from"),
        ({"ends": "24:01"}, "to"),
        ({"begins": "08:00", "ends": "08:00"}, "to"),
        ({"begins": "24:00", "ends": "06:00"}, "to"),
        ({"zone": "Europe/Wien"}, "zone"),
    ],
)
def test_what_is_no_rule(fields: dict[str, object], field: str) -> None:
    """A limit that is misread limits nothing, or all."""

    def find(name: str) -> ZoneInfo:
        if name != "Europe/Vienna":
            raise UsageError("no zone")
        return VIENNA

    with pytest.raises(UsageError) as caught:
        rule_of(RuleText(**{"name": "r", "rate": "2 MiB/s", **fields}), find)  # type: ignore[arg-type]
    assert caught.value.context["at"] == field


def test_in_words() -> None:
    """Who wonders why a backup takes long finds it in its log."""
    assert told(2 << 20, "upload", "the rule x") == "uploads are limited to 2.0 MiB/s (16.8 Mbit/s) by the rule x"
