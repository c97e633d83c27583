"""Stores that installed packages bring: each names its opener under an entry point (decision 17)."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

ENTRY_POINTS = "backupd.destinations"


def schemes() -> list[str]:
    """Schemes of their addresses, in any order."""
    return [point.name for point in entry_points(group=ENTRY_POINTS)]


def find(scheme: str) -> Any | None:
    """The opener of a scheme, loaded; None where no package brings one."""
    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        return point.load()
    return None
