"""A door before a server of a test, which passes on all that comes; what more happens there, each kind of it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

Way = Literal["up", "down"]
"""To the server, or from it."""


class Relay:
    """Listens at `port`, and passes on all that comes to another port of this machine. A block closes it in its end."""

    piece_bytes = 64 << 10
    """Of one reading."""
    buffer_bytes: int | None = None
    """Of the relay's own sockets; none: the system's."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        # What is accepted there has the same.
        self._narrow(self._door, (socket.SO_RCVBUF, socket.SO_SNDBUF))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the door and all that goes through it."""
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """Close all that goes through it; who comes later is let through."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def may_pass(self, way: Way, count: int) -> bool:
        """Whether a piece is passed on; else nothing more is, that way."""
        return True

    def passed(self, way: Way, count: int) -> None:
        """A piece was passed on."""

    def _narrow(self, one: socket.socket, options: Iterable[int]) -> None:
        if self.buffer_bytes is not None:
            for option in options:
                one.setsockopt(socket.SOL_SOCKET, option, self.buffer_bytes)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.socket()
                self._narrow(far, (socket.SO_RCVBUF,))
                try:
                    far.connect(("127.0.0.1", self._target))
                except OSError:
                    far.close()
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
            while piece := source.recv(self.piece_bytes):
                if not self.may_pass(way, len(piece)):
                    return
                target.sendall(piece)
                self.passed(way, len(piece))
            target.shutdown(socket.SHUT_WR)
