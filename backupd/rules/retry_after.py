"""When a server wants to be asked again: the Retry-After header of HTTP; pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0


def asked_seconds(retry_after: str | None, now: datetime) -> float | None:
    """Of its text, seconds or a date: how long to wait, an hour at most; None: nobody can tell. now: aware."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    left = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(left, 0.0), LONGEST_SECONDS)
