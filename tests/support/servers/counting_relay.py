"""A door before a server of a test that counts what goes through, for each tenth of a second."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

_PIECE_BYTES = 16 << 10
_BUFFER_BYTES = 16 << 10
"""Of the relay's own sockets: what waits in them would look as if it had gone through."""
_STEPS_A_SECOND = 10

Way = Literal["up", "down"]


class CountingRelay:
    """Listens at `port`, and passes on all that comes to another port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._counts: dict[Way, Counter[int]] = {"up": Counter(), "down": Counter()}
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._door.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self) -> None:
        """Count anew."""
        with self._lock:
            self._counts = {"up": Counter(), "down": Counter()}

    def total(self, way: Way) -> int:
        """Bytes since then."""
        with self._lock:
            return self._counts[way].total()

    def most_in_a_second(self, way: Way, since: float = 0.0, until: float = float("inf")) -> int:
        """Bytes of the fullest second, of those that begin at any tenth between two moments (monotonic)."""
        steps = self._steps(way)
        starts = [step for step in steps if since * _STEPS_A_SECOND <= step <= (until - 1) * _STEPS_A_SECOND]
        return max((sum(steps[start + one] for one in range(_STEPS_A_SECOND)) for start in starts), default=0)

    def average(self, way: Way, since: float = 0.0, until: float = float("inf")) -> float:
        """Bytes a second between the first and the last byte, of those between two moments."""
        steps = self._steps(way)
        inside = [step for step in steps if since * _STEPS_A_SECOND <= step < until * _STEPS_A_SECOND]
        seconds = (max(inside) - min(inside) + 1) / _STEPS_A_SECOND
        return sum(steps[step] for step in inside) / seconds

    def close(self) -> None:
        """Close the door and all that goes through it."""
        self._door.close()
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _steps(self, way: Way) -> Counter[int]:
        with self._lock:
            return Counter(self._counts[way])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.socket()
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
                try:
                    far.connect(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets += [near, far]
                pumps: tuple[tuple[socket.socket, socket.socket, Way], ...] = ((near, far, "up"), (far, near, "down"))
                for pump in pumps:
                    threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                target.sendall(piece)
                with self._lock:
                    self._counts[way][int(time.monotonic() * _STEPS_A_SECOND)] += len(piece)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def counting_relay(target: int) -> Iterator[CountingRelay]:
    """A relay to a port, closed in the end."""
    relay = CountingRelay(target)
    try:
        yield relay
    finally:
        relay.close()
