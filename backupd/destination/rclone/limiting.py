"""Limits of bandwidth for rclone, which moves bytes by itself: it is told twice a second how fast it may.

What it may is drawn from the pace as others draw what they send: so it has its share where others have theirs. rclone
lets what was not moved be moved later, up to 4 MiB at once; being told anew, it forgets that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backupd.clock import SystemClock
from backupd.destination.pacing import DOWN, UP, Pace
from backupd.errors import BackupError

_TURN_SECONDS = 0.5
_LINGER_SECONDS = 1.0
_FIRST_SHARE = 8
"""Of the rate, before anything was drawn."""
_LEAST_SHARE = 16
"""Of the rate, however little was drawn: who waits at a rate of next to nothing does so for hours, whatever comes."""
_OFF = "off:off"

Tell = Callable[[str], object]
"""Has rclone keep `UP:DOWN`. Raises BackupError."""


class Limiter:
    """Draws while calls are under way. Safe from several threads."""

    def __init__(self, pace: Pace, tell: Tell) -> None:
        self._pace, self._tell = pace, tell
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._calls = [0, 0]
        self._idle_since = [0.0, 0.0]
        self._is_drawing = [False, False]
        self._shares = [0, 0]
        """Bytes a second, 0: no limit."""
        self._told = _OFF

    @contextmanager
    def moving(self, way: int) -> Iterator[None]:
        """Rclone moves bytes of objects that way within the block. Raises BackupError."""
        with self._lock:
            self._calls[way] += 1
            if not self._is_drawing[way] and not self._ended.is_set():
                self._is_drawing[way] = True
                rates = self._pace.rates()
                for one in (UP, DOWN):
                    if one == way or not self._is_drawing[one]:
                        self._shares[one] = self._share(one, rates[one] / _FIRST_SHARE)
                try:
                    self._say()
                    self._start(way)
                except BaseException:
                    # The next call begins anew: else nobody draws, and it moves bytes without a limit.
                    self._calls[way] -= 1
                    self._is_drawing[way], self._told = False, ""
                    raise
        try:
            yield
        finally:
            with self._lock:
                self._calls[way] -= 1
                self._idle_since[way] = self._clock.monotonic()

    def close(self) -> None:
        """Draw no more; rclone has ended. Who lent the pace may take it back then; may be called again."""
        with self._lock:
            self._ended.set()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def _start(self, way: int) -> None:
        thread = threading.Thread(target=self._draw, args=(way,), name="rclone-limit", daemon=True)
        thread.start()
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def _draw(self, way: int) -> None:
        while not self._has_ended(way):
            began = self._clock.monotonic()
            drawn, seconds = 0, 0.0
            while seconds < _TURN_SECONDS and not self._ended.is_set():
                if self._pace.rates()[way]:
                    try:
                        drawn += self._pace.may_move(way, self._ended)
                    except BackupError:
                        # Cancelled: whoever asked for the call hears of it where it is.
                        self._ended.wait(_TURN_SECONDS)
                else:
                    self._ended.wait(_TURN_SECONDS)
                seconds = self._clock.monotonic() - began
            with self._lock:
                if self._ended.is_set():
                    return
                self._shares[way] = self._share(way, drawn / seconds)
                try:
                    self._say()
                except BackupError:
                    # It has ended, and the call hears of that; another one is told at the next turn.
                    self._told = ""

    def _share(self, way: int, wanted: float) -> int:
        rate = self._pace.rates()[way]
        return max(1, rate // _LEAST_SHARE, int(wanted)) if rate else 0

    def _has_ended(self, way: int) -> bool:
        with self._lock:
            is_idle = self._clock.monotonic() - self._idle_since[way] > _LINGER_SECONDS
            if not self._calls[way] and is_idle:
                self._is_drawing[way] = False
            return not self._is_drawing[way]

    def _say(self) -> None:
        words = ":".join(f"{share}B" if share else "off" for share in self._shares)
        if words != self._told or words != _OFF:
            self._tell(words)
            self._told = words
