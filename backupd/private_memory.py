"""Keys and passwords are in memory: it is written into no core file and read by no other process of the same user."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def keep_private() -> None:
    """For each program to call first; what it starts has to call it anew.

    The limit alone would not do: where cores go to a program (`|` in core_pattern), Linux does not look at it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def is_private() -> bool:
    """Whether no process of the same user may look into this one's memory, as far as Linux tells."""
    if not sys.platform.startswith("linux"):
        return True
    return int(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)) == 0
