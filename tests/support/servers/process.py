"""A server as a process of its own: started, asked until it answers, stalled, killed with all below it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from tests.support.servers.process_tree import stop_group


class ServerProcess:
    """Runs a program in a process group of its own."""

    def __init__(self, command: Sequence[str | Path], folder: Path, environ: dict[str, str] | None = None) -> None:
        self._command, self._environ = [*map(str, command)], {**os.environ, **(environ or {})}
        self._log = folder / "server.log"
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[3],
                env=self._environ,
                start_new_session=True,
            )

    def start_again(self, port: int) -> None:
        """After `kill`, at the same port."""
        self._process = self._started()
        self.wait_for_port(port)

    @property
    def log(self) -> str:
        """All that it said."""
        return self._log.read_text(errors="replace")

    def wait_for_port(self, port: int, seconds: float = 30.0) -> None:
        """Wait until it takes connections."""
        end = time.monotonic() + seconds
        while True:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1.0)):
                return
            assert self._process.poll() is None, f"the server ended: {self.log}"
            assert time.monotonic() < end, f"the server never listened: {self.log}"
            time.sleep(0.02)

    def stall(self) -> None:
        """Keep its connections, and have it do nothing more."""
        stop_group(self._process.pid)

    def go_on(self) -> None:
        """After a stall."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and all that it started; nothing listens afterwards."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with closing(socket.socket()) as end:
        end.bind(("127.0.0.1", 0))
        port: int = end.getsockname()[1]
        return port
