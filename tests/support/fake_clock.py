"""Clocks that a test sets while programs run: months pass between two of their looks, or a clock is set back.

What the programs of one home read through `backupd.clock` is the machine's clock and an offset, one for the wall clock
and one for the monotonic clock, in a small file that each of them maps as it starts
(tests/support/plugins/clock_offsets.py). So they see at their next look what a test writes there.

It is about what the program decides by its clocks. Timers of the kernel and of asyncio, and the times of files, are
those of the machine.
"""

from __future__ import annotations

import mmap
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

from backupd.clock import SystemClock, to_datetime
from tests.support.daemon import Daemon
from tests.support.machine import Machine
from tests.support.plugins.clock_offsets import OFFSETS_BYTES
from tests.support.plugins.sitecustomize import CLOCK_OFFSETS

_WALL, _MONOTONIC = 0, 1
_SECOND_NS = 1_000_000_000


class FakeClock:
    """The clocks of all programs of a home, as `Clock` too, for operations in the process of the test."""

    def __init__(self, offsets: memoryview) -> None:
        """offsets: two numbers of nanoseconds, shared with the programs."""
        self._offsets = offsets

    def pass_time(self, passed: timedelta) -> None:
        """So much time goes by, on both clocks."""
        assert passed >= timedelta(0), "a monotonic clock never goes back"
        self._offsets[_WALL] += _ns(passed)
        self._offsets[_MONOTONIC] += _ns(passed)

    def set_wall(self, change: timedelta) -> None:
        """Somebody sets the wall clock, forward or back; the monotonic clock has no part in it."""
        self._offsets[_WALL] += _ns(change)

    def now(self) -> datetime:
        """What the wall clock shows."""
        return to_datetime(self.now_ns())

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return SystemClock().now_ns() + int(self._offsets[_WALL])

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return SystemClock().monotonic() + self._offsets[_MONOTONIC] / _SECOND_NS


@contextmanager
def fake_clock(programs: Daemon | Machine) -> Generator[FakeClock, None, None]:
    """Programs of that home which start while the block runs have these clocks; so start the daemon in it."""
    programs.home.mkdir(parents=True, exist_ok=True)
    path = programs.home / CLOCK_OFFSETS
    path.write_bytes(bytes(OFFSETS_BYTES))
    try:
        with (
            path.open("r+b") as file,
            mmap.mmap(file.fileno(), OFFSETS_BYTES) as shared,
            memoryview(shared) as raw,
            raw.cast("q") as offsets,
        ):
            yield FakeClock(offsets)
    finally:
        path.unlink()


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
