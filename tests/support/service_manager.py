"""What a service manager hears of its daemon: each datagram on a real notify socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.slow_set import wait_for


class Heard:
    """All that was said to a notify socket, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, str]] = []
        self.pings: list[float] = []
        """When the watchdog was told, by the monotonic clock."""
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(path))
        self._end.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._is_over.set()
        self._thread.join()
        self._end.close()

    def waits_for(self, key: str, text: str, after: int = 0) -> int:
        """Wait until a message has the text under the key; how many had come by then. after: skip so many."""

        def found() -> int | None:
            numbered = enumerate(self.messages[after:], after + 1)
            return next((number for number, one in numbered if text in one.get(key, "")), None)

        wait_for(lambda: found() is not None, 30)
        return found() or 0

    def _listen(self) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                text = self._end.recv(4096).decode()
                if text == "WATCHDOG=1":
                    self.pings.append(time.monotonic())
                else:
                    self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))


class Managed(Daemon):
    """A daemon that is told where its manager listens."""

    def __init__(self, home: Path, heard: Heard, watchdog_seconds: float) -> None:
        super().__init__(home)
        self._heard, self._watchdog = heard, watchdog_seconds

    @property
    def environ(self) -> dict[str, str]:
        """What its programs see."""
        micros = str(int(self._watchdog * 1e6))
        return {**super().environ, "NOTIFY_SOCKET": str(self._heard.path), "WATCHDOG_USEC": micros}


@contextmanager
def managed_daemon(home: Path, watchdog_seconds: float = 0.6) -> Generator[tuple[Managed, Heard], None, None]:
    """A started daemon with its manager, ended when the block is left."""
    heard = Heard(home.parent / "notify")
    daemon = Managed(home, heard, watchdog_seconds)
    try:
        daemon.start()
        yield daemon, heard
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
        heard.close()
