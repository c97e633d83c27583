"""A server program of a test: started on free ports, asked until it answers, killed with its children, started anew."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from backupd.clock import SystemClock
from tests.support.servers.process_tree import stop_group

_READY_SECONDS = 60


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def program(name: str) -> str:
    """The path of a program that a package brought into this environment, or of the system's."""
    beside = os.path.join(sysconfig.get_path("scripts"), name)
    found = beside if os.path.exists(beside) else shutil.which(name)
    assert found is not None, f"{name} is not installed: pip install -e '.[test]'"
    return found


class HttpServer:
    """One program that answers HTTP at `port`."""

    def __init__(self, command: Sequence[str], folder: Path, port: int) -> None:
        self._command, self._folder, self.port = command, folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers, whatever it says."""
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "TMPDIR": str(self._folder)}
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        clock = SystemClock()
        until = clock.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert clock.monotonic() < until, self.log()

    def signal(self, number: int) -> None:
        """Send a signal to it and its children; where it stops them they have stopped."""
        assert self._process is not None
        if number == signal.SIGSTOP:
            stop_group(self._process.pid)
        else:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """What it printed."""
        return (self._folder / "server.log").read_text(errors="replace")[-4000:]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as one:
                one.settimeout(5)
                one.sendall(b"HEAD /status HTTP/1.0\r\n\r\n")
                return bool(one.recv(1))
        except OSError:
            time.sleep(0.03)
            return False
