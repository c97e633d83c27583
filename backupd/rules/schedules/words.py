"""Moments of schedules in words."""

from __future__ import annotations

from datetime import datetime, tzinfo


def shown_moment(moment: datetime, zone: tzinfo) -> str:
    """As `2026-11-27 02:00 CET`."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
