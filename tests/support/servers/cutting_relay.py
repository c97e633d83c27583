"""A door before a server of a test that falls shut after so many bytes: as when a cable is cut, or a machine dies."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.servers.relay import Relay, Way


class CuttingRelay(Relay):
    """Passes on all until it is cut."""

    def __init__(self, target: int) -> None:
        self._left: dict[Way, int | None] = {"up": None, "down": None}
        self._on_cut: Callable[[], None] = lambda: None
        super().__init__(target)

    def cut_after(
        self, *, up: int | None = None, down: int | None = None, then: Callable[[], None] | None = None
    ) -> None:
        """Cut all connections, once, after so many more bytes to the server, or from it, having called `then`."""
        with self._lock:
            self._left, self._on_cut = {"up": up, "down": down}, then or (lambda: None)

    def may_pass(self, way: Way, count: int) -> bool:
        """Until the cut."""
        if not self._is_end(way, count):
            return True
        self._on_cut()
        self.cut()
        return False

    def _is_end(self, way: Way, count: int) -> bool:
        with self._lock:
            left = self._left[way]
            if left is None:
                return False
            self._left[way] = left - count if left >= count else None
            return left < count
