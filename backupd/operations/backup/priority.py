"""Being polite: a backup yields processor and disk to everyone else; workers inherit it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress

_NICE = 10
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_WHO_PROCESS = 1
_BEST_EFFORT_LOWEST = (2 << 13) | 7


def lower() -> None:
    """Lower this process's CPU priority, and its I/O priority where Linux knows one.

    A service manager may refuse both, and weighs the whole service instead.
    """
    with suppress(PermissionError):
        if os.nice(0) < _NICE:
            os.nice(_NICE - os.nice(0))
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform.startswith("linux") and number is not None:
        ctypes.CDLL(None).syscall(number, _WHO_PROCESS, 0, _BEST_EFFORT_LOWEST)
