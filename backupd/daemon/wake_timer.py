"""A timer that wakes a sleeping machine: timerfd of CLOCK_REALTIME_ALARM, as systemd's WakeSystem= has it; Linux alone.

It needs the capability CAP_WAKE_ALARM, and a clock of the hardware that can be set.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CLOCK_REALTIME_ALARM = 8
_TFD_CLOEXEC, _TFD_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_TFD_TIMER_ABSTIME = 1
_SECOND_NS = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class WakeTimer:
    """One moment at which the machine is to be awake."""

    def __init__(self) -> None:
        """Raises OSError where the system has no such timer, or does not allow it."""
        if not sys.platform.startswith("linux"):
            raise OSError(0, "this system has no timer that wakes it")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = int(self._libc.timerfd_create(_CLOCK_REALTIME_ALARM, _TFD_CLOEXEC | _TFD_NONBLOCK))
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def set(self, at_ns: int) -> None:
        """Have the machine awake at that moment, by the wall clock, in place of the one before. Raises OSError."""
        timer = _Timer(_Timespec(0, 0), _Timespec(*divmod(at_ns, _SECOND_NS)))
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(timer), None) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def left_seconds(self) -> float:
        """How long it is to run still."""
        timer = _Timer()
        self._libc.timerfd_gettime(self._fd, ctypes.byref(timer))
        return float(timer.value.seconds) + float(timer.value.nanoseconds) / _SECOND_NS

    def close(self) -> None:
        """Forget it."""
        os.close(self._fd)
