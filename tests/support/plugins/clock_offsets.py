"""For programs of a test: what they read through `backupd.clock` is ahead by what the test wrote (fake_clock.py)."""

from __future__ import annotations

import mmap
from types import ModuleType

from backupd import clock

OFFSETS_BYTES = 16
"""Two numbers of nanoseconds in the machine's order: of the wall clock, of the monotonic clock."""

_SECOND_NS = 1_000_000_000


class _Ahead:
    """Stands in `backupd.clock` where the module `time` was."""

    def __init__(self, machine: ModuleType, offsets: memoryview) -> None:
        self._machine, self._offsets = machine, offsets

    def time_ns(self) -> int:
        found: int = self._machine.time_ns()
        return found + int(self._offsets[0])

    def monotonic(self) -> float:
        found: float = self._machine.monotonic()
        return found + self._offsets[1] / _SECOND_NS


def follow(path: str) -> None:
    """From now on the clocks of this process are ahead by the file's numbers, read at each look."""
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), OFFSETS_BYTES)
    vars(clock)["time"] = _Ahead(vars(clock)["time"], memoryview(shared).cast("q"))
