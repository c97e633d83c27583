"""Moments as people type and read them (CLI.md, Names: TIME), and the stamps in names of older versions.

Moments are whole seconds: they are shown so, so a moment that was read off the screen finds what it belongs to.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from backupd.clock import to_datetime
from backupd.errors import UsageError
from backupd.sizes import parse_duration

_NAME_LIMIT_BYTES = 255
_EXTENSION_LIMIT_BYTES = 32
"""What stands after a dot and is longer is no extension but text."""

_DATE = r"(?P<date>\d{4}-\d{2}-\d{2})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
_ZONE = r"(?: ?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?|[A-Za-z]{2,6}))?"
_MOMENT = re.compile(rf"{_DATE}(?:[Tt ] *{_TIME}{_ZONE})?", re.ASCII)
_STAMP = re.compile(rf"{_DATE}T(?P<hour>\d{{2}})-(?P<minute>\d{{2}})-(?P<second>\d{{2}})", re.ASCII)
_NEAR = re.compile(rf"(?P<day>today|yesterday)(?: +(?:at +)?{_TIME})?", re.ASCII)
_AGO = re.compile(r"(?P<duration>[0-9smhdw]+) +ago", re.ASCII)
_HINT = "write 2026-11-20T14:00, 2026-11-20 (its end), 'yesterday 14:00' or '3h ago'"


def parse(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Read a TIME as aware UTC, in whole seconds.

    now: aware. zone: what times without an offset mean. A day alone is its last second. A time that the clock change
    skips is taken as the old offset has it; one that comes twice is the first unless its abbreviation says otherwise.
    Raises UsageError.
    """
    words = text.strip()
    try:
        found = _parse_absolute(words, zone) or _parse_relative(words.lower(), now, zone)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"'{text}' is no time: {error}", hint=_HINT) from error
    if found is None:
        raise UsageError(f"'{text}' is no time", hint=_HINT)
    return found


def is_day(text: str) -> bool:
    """Whether a TIME that `parse` reads is a day alone, which it takes for its last second."""
    words = text.strip()
    match = _MOMENT.fullmatch(words) or _NEAR.fullmatch(words.lower())
    return match is not None and match["hour"] is None


def seconds_of(time_ns: int) -> int:
    """Whole seconds since 1970 of a time stamp: the unit that moments are compared in."""
    return time_ns // 1_000_000_000


def show(time_ns: int, zone: tzinfo) -> str:
    """For people, as `2026-11-20 14:00:03 CET`; `parse` reads it back."""
    local = to_datetime(time_ns).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname() or ''}".rstrip()


def rfc3339(time_ns: int, zone: tzinfo) -> str:
    """For JSON, as `2026-11-20T14:00:03+01:00`; whole seconds."""
    local = to_datetime(time_ns).astimezone(zone).replace(microsecond=0)
    offset = local.utcoffset()
    # Local mean times of the 19th century have offsets with seconds, which RFC 3339 has no form for.
    return (local.astimezone(UTC) if offset is not None and offset.seconds % 60 else local).isoformat()


def version_stamp(time_ns: int, zone: tzinfo) -> str:
    """What an older version's name carries, as `2016-11-25T09-45-12`; `parse` reads it back."""
    return f"{to_datetime(time_ns).astimezone(zone):%Y-%m-%dT%H-%M-%S}"


def stamped_name(name: bytes, stamp: str, number: int = 1) -> bytes:
    """The name of an older version: `letter.rtf` becomes `letter.2016-11-25T09-45-12.rtf`.

    number: 2 and more on a clash, appended to the stamp as `-2`. A dot file has no extension. A long name is cut
    before the stamp, between characters, so that the result stays a name of 255 bytes.
    """
    stem, extension = _split_extension(name)
    middle = f".{stamp}".encode() + (f"-{number}".encode() if number > 1 else b"")
    room = _NAME_LIMIT_BYTES - len(middle) - len(extension)
    if len(stem) > room:
        while room > 1 and stem[room] & 0xC0 == 0x80:
            room -= 1
        stem = stem[:room]
    return stem + middle + extension


def _parse_absolute(text: str, zone: tzinfo) -> datetime | None:
    match = _MOMENT.fullmatch(text) or _STAMP.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    day = date.fromisoformat(parts["date"])
    if parts["hour"] is None:
        return _end_of(day, zone)
    return _at(day, parts, _zone_of(parts.get("zone"), zone, day, parts))


def _parse_relative(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    if text == "now":
        return now.astimezone(UTC).replace(microsecond=0)
    if match := _AGO.fullmatch(text):
        return now.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=parse_duration(match["duration"]))
    if match := _NEAR.fullmatch(text):
        day = now.astimezone(zone).date() - timedelta(days=match["day"] == "yesterday")
        return _end_of(day, zone) if match["hour"] is None else _at(day, match.groupdict(), zone)
    return None


def _at(day: date, parts: dict[str, str], zone: tzinfo, fold: int = 0) -> datetime:
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0)
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone, fold=fold).astimezone(UTC)


def _end_of(day: date, zone: tzinfo) -> datetime:
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)


def _zone_of(text: str | None, zone: tzinfo, day: date, parts: dict[str, str]) -> tzinfo:
    """The zone that an offset or abbreviation names; abbreviations count only as the zone itself uses them."""
    if text is None:
        return zone
    if text in ("Z", "z", "UTC", "GMT"):
        return UTC
    if text[0] in "+-":
        digits = text[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        return timezone(-offset if text[0] == "-" else offset)
    for fold in (0, 1):
        local = _at(day, parts, zone, fold).astimezone(zone)
        if local.tzname() == text:
            return timezone(local.utcoffset() or timedelta())
    raise ValueError(f"'{text}' is not in use then; write an offset as +01:00")


def _split_extension(name: bytes) -> tuple[bytes, bytes]:
    stem, dot, extension = name.rpartition(b".")
    if not dot or not stem.strip(b".") or not extension or len(extension) >= _EXTENSION_LIMIT_BYTES:
        return name, b""
    return stem, dot + extension
