"""Moments for people and for JSON, in the system's zone."""

from __future__ import annotations

from datetime import datetime


def rfc3339(time_ns: int) -> str:
    """For JSON, as `2026-11-20T14:00:03+01:00`."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000).astimezone().isoformat()


def shown(time_ns: int) -> str:
    """For people, as `2026-11-20 14:00:03 CET`."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
