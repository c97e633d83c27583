"""Worker processes forked from one that has all loaded: thousands of short runs needn't start an interpreter each.

What such a worker does is `backupd.worker.main`, in a process of its own, ended by whoever closes its socket. Only its
start is another one: the interpreter that a job would start is a few lines that hand the inherited descriptors over,
and for all but workers of this very process the interpreter that it always is: what a child of the test does as another
user is not done with the rights of this one.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from backupd import worker
from tests.support.machine import PYTHON_PATH, TOP

_STARTER = """#!{python} -IS
import _socket, os, sys
if sys.argv[1:3] != ["-m", "backupd.worker"] or os.getppid() != {owner}:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
given = [int(word) for word in sys.argv[3:]]
end = _socket.socket(_socket.AF_UNIX)
end.connect({address!r})
numbers = b"".join(fd.to_bytes(4, sys.byteorder) for fd in given)
end.sendmsg([b"go"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
for fd in given:
    os.close(fd)
os._exit(0 if end.recv(1) else 70)
"""


class QuickWorkers:
    """The process that they are forked from; `close` ends it."""

    def __init__(self, folder: Path) -> None:
        """folder: of a short path, for the socket and what is started."""
        address = str(folder / "fork")
        self._starter = folder / "python"
        self._starter.write_text(_STARTER.format(python=sys.executable, address=address, owner=os.getpid()))
        self._starter.chmod(0o755)
        command = [sys.executable, "-m", "tests.support.quick_workers", address]
        environ = {**os.environ, "PYTHONPATH": PYTHON_PATH}
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, cwd=TOP
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"

    @contextmanager
    def in_use(self) -> Generator[None, None, None]:
        """While the block runs, workers of operations in this process start quickly."""
        before, sys.executable = sys.executable, str(self._starter)
        try:
            yield
        finally:
            sys.executable = before

    def close(self) -> None:
        """End it."""
        self._server.terminate()
        self._server.communicate()


def serve(address: str) -> None:
    """Fork a worker for everybody who connects, until standard input ends: with the process that began this."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        gc.freeze()
        while listener.fileno() in select.select([0, listener.fileno()], [], [])[0]:
            end, _ = listener.accept()
            _, given, _, _ = socket.recv_fds(end, 2, 4)
            if os.fork() == 0:
                _be_a_worker(listener, end, given)
            end.close()
            for fd in given:
                os.close(fd)


def _be_a_worker(listener: socket.socket, end: socket.socket, given: list[int]) -> None:
    status = 70
    try:
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.argv = ["worker", *map(str, given)]
        worker.main()
        end.send(b"0")
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
