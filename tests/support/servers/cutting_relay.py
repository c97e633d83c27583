"""A door before a server of a test that falls shut after so many bytes: as when a cable is cut, or a machine dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_PIECE_BYTES = 64 << 10


class CuttingRelay:
    """Listens at `port`, and passes on all that comes to another port of this machine until it is cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._on_cut: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(
        self, *, up: int | None = None, down: int | None = None, then: Callable[[], None] | None = None
    ) -> None:
        """Cut all connections, once, after so many more bytes to the server, or from it, having called `then`."""
        with self._lock:
            self._left, self._on_cut = {"up": up, "down": down}, then or (lambda: None)

    def close(self) -> None:
        """Close the door and all that goes through it."""
        self._door.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._sockets += [near, far]
                for source, target, way in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._pump, args=(source, target, way), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                if self._is_end(way, len(piece)):
                    self._on_cut()
                    self._cut()
                    return
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _is_end(self, way: str, count: int) -> bool:
        with self._lock:
            left = self._left[way]
            if left is None:
                return False
            self._left[way] = left - count if left >= count else None
            return left < count

    def _cut(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def cutting_relay(target: int) -> Iterator[CuttingRelay]:
    """A relay to a port, closed in the end."""
    relay = CuttingRelay(target)
    try:
        yield relay
    finally:
        relay.close()
