"""Times as typed and shown: a misread time restores the wrong day."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.errors import UsageError
from backupd.rules import moments

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 9, 30, 15, 123456, tzinfo=UTC)
SECONDS = st.integers(min_value=0, max_value=4_000_000_000)
ZONES = st.sampled_from([BERLIN, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("2026-11-20T14:00", "2026-11-20T13:00:00"),
        ("2026-11-20 14:00:05", "2026-11-20T13:00:05"),
        ("2026-11-20T14:00+05:30", "2026-11-20T08:30:00"),
        ("2026-11-20T14:00:05-0300", "2026-11-20T17:00:05"),
        ("2026-11-20T14:00Z", "2026-11-20T14:00:00"),
        ("2026-11-20", "2026-11-20T22:59:59"),
        ("yesterday 14:00", "2026-11-20T13:00:00"),
        ("Yesterday at 14:00:01", "2026-11-20T13:00:01"),
        ("yesterday", "2026-11-20T22:59:59"),
        ("today 8:00", "2026-11-21T07:00:00"),
        ("3h ago", "2026-11-21T06:30:15"),
        ("1h30m ago", "2026-11-21T08:00:15"),
        ("2d ago", "2026-11-19T09:30:15"),
        ("now", "2026-11-21T09:30:15"),
        ("2016-11-25T09-45-12", "2016-11-25T08:45:12"),
        ("2026-07-01 14:00:00 CEST", "2026-07-01T12:00:00"),
        ("2026-10-25 02:30:00 CEST", "2026-10-25T00:30:00"),
        ("2026-10-25 02:30:00 CET", "2026-10-25T01:30:00"),
        ("2026-03-29 02:30", "2026-03-29T01:30:00"),
        ("2026-03-29", "2026-03-29T21:59:59"),
    ],
)
def test_what_people_write_is_understood(text: str, seen: str) -> None:
    assert moments.parse(text, NOW, BERLIN).isoformat() == f"{seen}+00:00"


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "14:00", "2026-13-01", "2026-02-30", "2026-11-20T25:00", "3 ago", "h ago", "20261120", "9" * 9
     + "w ago", "2026-11-20T14:00+99:00", "2026-07-01 14:00 CET", "2026-07-01 14:00 PST", "s12ab", "٢٠٢٦-11-20"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        moments.parse(text, NOW, BERLIN)


@settings(deadline=None)
@given(SECONDS, ZONES)
def test_a_time_read_off_the_screen_is_that_time(seconds: int, zone: ZoneInfo) -> None:
    time_ns = seconds * 1_000_000_000 + 987_654_321
    for text in (moments.show(time_ns, zone), moments.rfc3339(time_ns, zone)):
        assert moments.parse(text, NOW, zone).timestamp() == seconds
    assert moments.seconds_of(time_ns) == seconds


def test_shown_times_name_their_zone() -> None:
    time_ns = 1_795_179_603_500_000_000
    assert moments.show(time_ns, BERLIN) == "2026-11-20 14:00:03 CET"
    assert moments.rfc3339(time_ns, BERLIN) == "2026-11-20T14:00:03+01:00"
    assert moments.rfc3339(-3_000_000_000 * 1_000_000_000, BERLIN) == "1874-12-07T18:40:00+00:00"
    assert moments.version_stamp(time_ns, BERLIN) == "2026-11-20T14-00-03"


@pytest.mark.parametrize(
    ("name", "number", "stamped"),
    [
        (b"letter.rtf", 1, b"letter.S.rtf"),
        (b"letter.rtf", 2, b"letter.S-2.rtf"),
        (b"README", 1, b"README.S"),
        (b".bashrc", 1, b".bashrc.S"),
        (b".config.toml", 1, b".config.S.toml"),
        (b"end.", 1, b"end..S"),
        (b"a.tar.gz", 3, b"a.tar.S-3.gz"),
        (b"v1.this is no extension but a whole sentence", 1, b"v1.this is no extension but a whole sentence.S"),
        (b"\xff.txt", 1, b"\xff.S.txt"),
    ],
)
def test_older_versions_keep_their_extension(name: bytes, number: int, stamped: bytes) -> None:
    assert moments.stamped_name(name, "S", number) == stamped


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=255), st.integers(1, 9999))
def test_a_stamped_name_is_never_too_long_to_write(name: bytes, number: int) -> None:
    assert len(moments.stamped_name(name, "2016-11-25T09-45-12", number)) <= 255


def test_a_long_name_is_cut_between_characters() -> None:
    cut = moments.stamped_name("ä".encode() * 125 + b".txt", "2016-11-25T09-45-12")
    assert cut.decode().endswith("ä.2016-11-25T09-45-12.txt")
