"""Decoding with an eye on time and memory."""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MOST_SECONDS = 2.0
MOST_BYTES = 64 << 20

_PEAK = Path("/proc/self/clear_refs")
_UNIT = 1 if sys.platform == "darwin" else 1 << 10


class BeyondLimitsError(Exception):
    """It took longer, or more memory, than any input may."""


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def forget_peak() -> None:
    """Count the peak anew from now on, where the system can."""
    if _PEAK.exists():
        _PEAK.write_text("5")


@contextmanager
def watched(most_seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> Iterator[None]:
    """Raises BeyondLimitsError; what runs in Python is broken off."""
    former = signal.signal(signal.SIGPROF, _too_long)
    forget_peak()
    before, began = peak_bytes(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, most_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
    took, grown = time.process_time() - began, peak_bytes() - before
    if took > most_seconds:
        raise BeyondLimitsError(f"{took:.1f} s of CPU, more than {most_seconds}")
    if grown > most_bytes:
        raise BeyondLimitsError(f"memory grew by {grown >> 20} MiB, more than {most_bytes >> 20}")


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise BeyondLimitsError("it takes too long")
