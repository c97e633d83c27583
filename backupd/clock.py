"""The one place that reads clocks: `ruff` bans the others, tests put in a fake one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock for labels and stamps, monotonic clock for durations."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC; may step in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, without meaning by themselves."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def to_datetime(time_ns: int) -> datetime:
    """Aware UTC datetime, microseconds kept, nanoseconds cut."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).replace(microsecond=time_ns // 1000 % 1_000_000)


def to_name(time_ns: int) -> str:
    """The form used in object names, as `20261121t210710z`; UTC, whole seconds."""
    return to_datetime(time_ns).strftime("%Y%m%dt%H%M%Sz")
