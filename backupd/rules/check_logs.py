"""How logs of checks are called in the state directory: who writes them and who removes the old ones go by it; pure."""

from __future__ import annotations

from backupd.clock import to_datetime

FOLDER = "checks"
SUFFIX = ".log"


def beginning(time_ns: int) -> str:
    """Of the name of a check's log that was written then: names are in order of time."""
    return to_datetime(time_ns).strftime("%Y-%m-%dT%H%M%SZ")
