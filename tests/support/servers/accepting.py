"""A port of this machine behind which each connection is talked with on a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def accepting(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen on a port of 127.0.0.1 until the block ends, and with it all connections. talk: holds one of them."""
    ends: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                ends.append(listening.accept()[0])
                threading.Thread(target=talk, args=(ends[-1],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            # A close alone would leave `accept` waiting.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
