"""Where the blocks of a spread pool go, and how much room is left for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

from backupd.clock import Clock
from backupd.destination.pool.policy import places_for_block

_ASKED_AGAIN_SECONDS = 30.0


class Room:
    """Knows the free space of members, a moment old. Safe from several threads."""

    def __init__(self, ask: Callable[[], Mapping[int, int | None]], clock: Clock) -> None:
        """ask: the free space of the members that answer."""
        self._ask, self._clock = ask, clock
        self._lock = threading.Lock()
        self._free: dict[int, int | None] = {}
        self._asked_at: float | None = None
        self._turn = 0

    def choose(self, usable: Iterable[int], size_bytes: int) -> list[int]:
        """Members for a block, the best first; what the first one has is taken as used."""
        with self._lock:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at > _ASKED_AGAIN_SECONDS:
                self._free, self._asked_at = dict(self._ask()), now
            chosen = places_for_block({n: self._free.get(n) for n in usable}, size_bytes, self._turn)
            self._turn += 1
            free = self._free.get(chosen[0]) if chosen else None
            if free is not None:
                self._free[chosen[0]] = max(0, free - size_bytes)
            return chosen
