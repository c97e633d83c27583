"""Which blocks a rolling verification reads next, and how much is covered (FEATURES 8.4); pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

WINDOW_DAYS = 30
"""Coverage is told of so many days."""
_DAY_SECONDS = 86_400


def next_share(sizes: Mapping[bytes, int], verified: Mapping[bytes, int], permille: int) -> list[bytes]:
    """The blocks that were verified longest ago, or never, until they are that share of all bytes.

    sizes: of all blocks that are there. verified: seconds since 1970 UTC by block; of blocks that are gone, too. At
    least one block where there is any: so n thousandths a day read every block within 1000 / n days, and two.
    """
    wanted_bytes = -(-sum(sizes.values()) * permille // 1000)
    chosen: list[bytes] = []
    for block_id in sorted(sizes, key=lambda one: (verified.get(one, 0), one)):
        if wanted_bytes <= 0 and chosen:
            break
        chosen.append(block_id)
        wanted_bytes -= sizes[block_id]
    return chosen


class Coverage(NamedTuple):
    """How much of what is there was read lately."""

    total_bytes: int
    verified_bytes: int
    """Within the window."""
    never_bytes: int
    oldest_seconds: int | None
    """When the block was read that was read longest ago, since 1970 UTC; None: one never was, or there is none."""


def coverage(sizes: Mapping[bytes, int], verified: Mapping[bytes, int], now_seconds: int) -> Coverage:
    """Of all blocks that are there. A time that lies ahead was written by a wrong clock: it counts as never."""
    since = now_seconds - WINDOW_DAYS * _DAY_SECONDS
    times = {one: verified[one] for one in sizes if verified.get(one, now_seconds + 1) <= now_seconds}
    return Coverage(
        total_bytes=sum(sizes.values()),
        verified_bytes=sum(sizes[one] for one, at in times.items() if at >= since),
        never_bytes=sum(size for one, size in sizes.items() if one not in times),
        oldest_seconds=min(times.values()) if times and len(times) == len(sizes) else None,
    )
