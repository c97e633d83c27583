"""Sizes, counts and durations: parsing what people type, printing what they read."""

from __future__ import annotations

import re

from backupd.errors import UsageError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kmgtp]?)(i?b?)", re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]{1,3})\s*%?")
_SHARE = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?%?", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kKMG])(i?)(bit|B)(?:/s)?")
_MOST_RATE = 125 * 10**9
LEAST_RATE = 8000
"""Bytes a second; with less a block takes over an hour, and servers end what is so slow."""
MOST_PARITY = 20
"""Percent of a block."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_size(text: str) -> int:
    """Bytes of `200G`, `200GiB` (2^30) or `200GB` (10^9); a bare number is bytes.

    Raises UsageError for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is no size", hint="write a number with a unit: 500K, 64MiB, 200G, 200GB")
    number, prefix, suffix = match.groups()
    base = 1000 if suffix.lower() == "b" and prefix else 1024
    return int(float(number) * base ** " kmgtp".index(prefix.lower() or " "))


def parse_parity(text: str) -> int:
    """The number of `5%` or `5`. Raises UsageError for anything else, and over MOST_PARITY."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None or int(match[1]) > MOST_PARITY:
        raise UsageError(f"'{text}' is no share of parity", hint=f"whole percent from 0% to {MOST_PARITY}%: 5%")
    return int(match[1])


def parse_share(text: str) -> int:
    """Thousandths of `5%` or `0.5%`. Raises UsageError for anything else, under 0.1% and over 100%."""
    match = _SHARE.fullmatch(text.strip())
    thousandths = int(match[1]) * 10 + int(match[2] or 0) if match is not None else 0
    if not 1 <= thousandths <= 1000:
        raise UsageError(f"'{text}' is no share", hint="percent from 0.1% to 100%, as 5%")
    return thousandths


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `15m`, `26h`, `7d`, `2w`, also joined as `1h30m`.

    Raises UsageError for anything else.
    """
    parts = _DURATION.findall(text.strip().lower())
    if not parts or "".join(n + u for n, u in parts) != text.strip().lower():
        raise UsageError(f"'{text}' is no duration", hint="write a number with a unit: 90s, 15m, 26h, 7d, 2w")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def parse_rate(text: str) -> int:
    """Bytes a second of `20 Mbit/s`, `512 kbit/s`, `100 Mibit/s`, `2 MiB/s` or `500 kB/s`; `/s` may be left out.

    Raises UsageError for anything else, also where the unit may mean bits or bytes.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is no rate", hint="write a number with a unit: 20 Mbit/s, 512 kbit/s, 2 MiB/s")
    number, prefix, binary, unit = match.groups()
    base = 1024 if binary else 1000
    found = int(float(number) * base ** " kmg".index(prefix.lower()) / (8 if unit == "bit" else 1))
    if not LEAST_RATE <= found <= _MOST_RATE:
        raise UsageError(f"'{text}' is no rate to work with", hint="from 64 kbit/s (8 kB/s) to 1000 Gbit/s")
    return found


def format_rate(bytes_a_second: int) -> str:
    """In both units, as `2.0 MiB/s (16.8 Mbit/s)`."""
    bits = bytes_a_second * 8.0
    for unit in ("kbit/s", "Mbit/s"):
        bits /= 1000
        if bits < 999.5:
            return f"{format_bytes(bytes_a_second)}/s ({bits:.3g} {unit})"
    return f"{format_bytes(bytes_a_second)}/s ({min(bits / 1000, 999):.3g} Gbit/s)"


def format_bytes(count: int) -> str:
    """Three significant places with a binary unit, as `5.1 GiB`; exact below 1 KiB."""
    if count < KIB:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{value / 1024:.1f} PiB"


def format_seconds(seconds: float) -> str:
    """As `0.4 s`, `41 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """As `1 file`, `3,412 files`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
