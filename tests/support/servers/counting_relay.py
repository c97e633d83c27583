"""A door before a server of a test that counts what goes through, for each tenth of a second."""

from __future__ import annotations

import time
from collections import Counter

from tests.support.servers.relay import Relay, Way

_STEPS_A_SECOND = 10


class CountingRelay(Relay):
    """Passes on all, and counts it."""

    piece_bytes = 16 << 10
    buffer_bytes = 16 << 10
    """What waits in the relay's own sockets would look as if it had gone through."""

    def __init__(self, target: int) -> None:
        self._counts: dict[Way, Counter[int]] = {"up": Counter(), "down": Counter()}
        super().__init__(target)

    def begin(self) -> None:
        """Count anew."""
        with self._lock:
            self._counts = {"up": Counter(), "down": Counter()}

    def total(self, way: Way) -> int:
        """Bytes since then."""
        with self._lock:
            return self._counts[way].total()

    def most_in_a_second(self, way: Way, since: float = 0.0, until: float = float("inf")) -> int:
        """Bytes of the fullest second, of those that begin at any tenth between two moments (monotonic)."""
        steps = self._steps(way)
        starts = [step for step in steps if since * _STEPS_A_SECOND <= step <= (until - 1) * _STEPS_A_SECOND]
        return max((sum(steps[start + one] for one in range(_STEPS_A_SECOND)) for start in starts), default=0)

    def average(self, way: Way, since: float = 0.0, until: float = float("inf")) -> float:
        """Bytes a second between the first and the last byte, of those between two moments."""
        steps = self._steps(way)
        inside = [step for step in steps if since * _STEPS_A_SECOND <= step < until * _STEPS_A_SECOND]
        seconds = (max(inside) - min(inside) + 1) / _STEPS_A_SECOND
        return sum(steps[step] for step in inside) / seconds

    def passed(self, way: Way, count: int) -> None:
        """Count it."""
        with self._lock:
            self._counts[way][int(time.monotonic() * _STEPS_A_SECOND)] += count

    def _steps(self, way: Way) -> Counter[int]:
        with self._lock:
            return Counter(self._counts[way])
