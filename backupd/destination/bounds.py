"""How much of a server's answers is taken before they count as having no end."""

from __future__ import annotations

from backupd.clock import Clock, SystemClock

MAX_OBJECT_BYTES = 256 << 20
"""Of an object that is read to its end; ours are smaller by far."""
MAX_FOLDERS = 1_000_000
"""That one listing visits; ours with most has some 1000."""
LEAST_BYTES_A_SECOND = 8 << 10
"""Slower than the line of anybody who has that much to store: for what goes on so there is an end."""


class Deadline:
    """By when an answer has to be whole: some seconds, and more for what has come. Counts from its making."""

    def __init__(self, seconds: float, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._end = self._clock.monotonic() + seconds

    def waited(self, seconds: float) -> None:
        """So long nothing was asked of the other side."""
        self._end += seconds

    def took(self, byte_count: int) -> None:
        """So many more have come. Raises TimeoutError where that took too long."""
        self._end += byte_count / LEAST_BYTES_A_SECOND
        if self._clock.monotonic() > self._end:
            raise TimeoutError
