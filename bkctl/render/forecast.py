"""How fast a copy grows and when its destination is full, as text and as JSON output shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from backupd.model.status import CopyStatus, SetStatus
from backupd.sizes import count, format_bytes
from bkctl.render.times import rfc3339

_DAY_NS = 86_400_000_000_000
_SOON_DAYS = 30


def fields(copy: CopyStatus) -> dict[str, Any]:
    """For JSON."""
    return {
        "growth_bytes_per_day": copy.growth_bytes_per_day,
        "full_at": rfc3339(copy.full_at_ns) if copy.full_at_ns is not None else None,
    }


def full_soon(copies: Iterable[CopyStatus], now_ns: int) -> list[tuple[str, str]]:
    """(name, days as words) of destinations that will be full within 30 days, the first of them first."""
    ends = {copy.destination: copy.full_at_ns for copy in copies if copy.full_at_ns is not None}
    soon = sorted((end, name) for name, end in ends.items() if end - now_ns < _SOON_DAYS * _DAY_NS)
    return [(name, count(max(0, end - now_ns) // _DAY_NS, "day")) for end, name in soon]


def lines(sets: Sequence[SetStatus], now_ns: int) -> list[str]:
    """One line: destinations that will be full soon."""
    told = [f"{name} in {days}" for name, days in full_soon((copy for one in sets for copy in one.copies), now_ns)]
    return [f"Full soon at this rate: {', '.join(told)}"] if told else []


def growth_text(bytes_a_day: int | None) -> str:
    """For people; nothing where too little is known."""
    if bytes_a_day is None:
        return ""
    sign = "-" if bytes_a_day < 0 else "+"
    return f"{sign}{format_bytes(abs(bytes_a_day))} a day"
