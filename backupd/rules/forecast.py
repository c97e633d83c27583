"""How fast something grows, and when that fills what is left; pure.

The slope is the median of the slopes between all pairs of points (Theil and Sen): up to a quarter of the points may be
anything, a first backup or a large file that came and went, and it stays what the others say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from statistics import median

DAYS = 60
"""Looked back so far."""
LEAST_POINTS = 5
LEAST_DAYS = 4
"""Between the first and the last point; with less there is no growth to speak of."""
_MOST_POINTS = 40
"""Their pairs are what takes time."""
_MOST_YEARS = 50
_DAY_NS = timedelta(days=1) // timedelta(microseconds=1) * 1000

Point = tuple[int, int]
"""(time in nanoseconds, bytes)."""


def growth(points: Sequence[Point]) -> int | None:
    """Bytes a day, negative where it shrinks; None where too little is known. points: by time, each later than before.

    Of many points every n-th counts, always the newest one.
    """
    step = -(-len(points) // _MOST_POINTS) or 1
    kept = points[::-1][::step]
    if len(kept) < LEAST_POINTS or kept[0][0] - kept[-1][0] < LEAST_DAYS * _DAY_NS:
        return None
    slopes = [(late - early) / (then - before) for (then, late), (before, early) in combinations(kept, 2)]
    return round(median(slopes) * _DAY_NS)


def full_at(left_bytes: int, bytes_a_day: int, told_ns: int) -> int | None:
    """When what was left at a time is used up; None: it does not grow, or not within fifty years."""
    if bytes_a_day <= 0:
        return None
    days = max(0, left_bytes) / bytes_a_day
    return told_ns + round(days * _DAY_NS) if days <= _MOST_YEARS * 365.25 else None
