"""How much the areas of sets hold: a line for each copy that was counted, one for all that were not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from backupd.model.areas import Area, Areas
from backupd.model.status import SetStatus
from backupd.sizes import count, format_bytes
from bkctl.render.times import rfc3339


def document(found: Areas | None) -> dict[str, Any] | None:
    """As JSON output shows them."""
    if found is None:
        return None
    return {
        "as_of": rfc3339(found.as_of_ns),
        "current": found.is_current,
        "data": msgspec.to_builtins(found.data),
        "retention": msgspec.to_builtins(found.retention),
        "savings": msgspec.to_builtins(found.savings),
    }


def lines(sets: Sequence[SetStatus], now_ns: int, ago: Callable[[int], str]) -> list[str]:
    """For people. ago: seconds as they read them."""
    told: list[str] = []
    uncounted: dict[str, None] = {}
    for one in sets:
        for copy in one.copies:
            if copy.areas is not None:
                when = ago((now_ns - copy.areas.as_of_ns) // 1_000_000_000)
                told.append(f"{one.set} on {copy.destination}: {_sentence(copy.areas)} (as of {when} ago)")
            elif copy.snapshot is not None:
                uncounted[one.set] = None
    if uncounted:
        told.append(f"Areas not counted yet: {', '.join(uncounted)}; `bkctl check` and `bkctl free` count them")
    return told


def _sentence(found: Areas) -> str:
    older = f"; older versions: {_area(found.retention)}" if found.retention.files else "; no older versions"
    return f"newest snapshot: {_area(found.data)}{older}"


def _area(found: Area) -> str:
    sizes = f"{format_bytes(found.source_bytes)} in {format_bytes(found.stored_bytes)}"
    return f"{count(found.files, 'file')}, {sizes}"
