"""Rates and shares as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.errors import UsageError
from backupd.sizes import format_rate, parse_parity, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20 Mbit/s", 2_500_000),
        ("20Mbit", 2_500_000),
        ("512 kbit/s", 64_000),
        ("1 Gbit/s", 125_000_000),
        ("100 Mibit/s", 13_107_200),
        ("64 kbit/s", 8000),
        ("2 MiB/s", 2 << 20),
        ("1.5 MiB/s", 3 << 19),
        ("500 kB/s", 500_000),
        ("64 Kibit/s", 8192),
    ],
)
def test_rates(text: str, rate: int) -> None:
    """Bits and bytes are eight times apart: what is mixed up holds up a backup, or the line."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "20", "20 Mb/s", "20 mbit/s", "2 M", "2M/s", "-1 MiB/s", "1 kbit/s", "0 MiB/s", "9999 Gbit/s", "9 bit"]
)
def test_what_is_no_rate(text: str) -> None:
    """A limit that is understood otherwise than it was meant is worse than none."""
    with pytest.raises(UsageError):
        parse_rate(text)


def test_both_units_are_shown() -> None:
    """Who rents a line counts in bits, who copies files in bytes."""
    assert format_rate(2 << 20) == "2.0 MiB/s (16.8 Mbit/s)"
    assert format_rate(8000) == "7.8 KiB/s (64 kbit/s)"
    assert format_rate(125_000_000) == "119 MiB/s (1 Gbit/s)"


@given(st.integers(8000, 125 * 10**9))
def test_what_is_shown_can_be_read(rate: int) -> None:
    """A rate that is copied from a log into a rule means the same, but for rounding."""
    shown = format_rate(rate).partition("(")[2].rstrip(")")
    assert parse_rate(shown) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(("text", "percent"), [("5%", 5), ("0", 0), ("20 %", 20), ("7", 7)])
def test_shares_of_parity(text: str, percent: int) -> None:
    """As people write them."""
    assert parse_parity(text) == percent


@pytest.mark.parametrize("text", ["21%", "-1", "5.5%", "", "all", "5%%", "1000%"])
def test_what_is_no_share_of_parity(text: str) -> None:
    """A repository keeps its share for ever: what is not understood makes none."""
    with pytest.raises(UsageError):
        parse_parity(text)
