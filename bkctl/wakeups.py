"""Signals as readable bytes: nothing happens inside a handler, the loop takes them in turn."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType
from typing import Any

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM)


class Wakeups:
    """While open, watched signals arrive here; ignored ones (nohup, background jobs) stay ignored."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._handlers: dict[signal.Signals, Any] = {}
        self._descriptor = -1

    def __enter__(self) -> Wakeups:
        self._descriptor = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in _WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, _arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._reading.close()
        self._writing.close()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reading.fileno()

    def arrived(self) -> list[signal.Signals]:
        """Signals since the last call, in their order."""
        try:
            return [signal.Signals(number) for number in self._reading.recv(256)]
        except BlockingIOError:
            return []


def alarm_in(seconds: float) -> None:
    """Have SIGALRM arrive then; a later call replaces an earlier one."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def seconds_to_alarm() -> float:
    """How long until the next one, at least a moment."""
    return max(0.001, signal.getitimer(signal.ITIMER_REAL)[0])


def _arrived(_number: int, _frame: FrameType | None) -> None:
    """Only so that the signal neither kills nor is ignored; its number is already on the socket."""
