"""HTTP by hand: whatever bytes a client may send to the daemon's socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class Raw:
    """One connection."""

    def __init__(self, path: Path, words: bytes = b"") -> None:
        self._end = socket.socket(socket.AF_UNIX)
        # A full queue is waited for; with a timeout of Python's it would be an error.
        self._end.connect(str(path))
        self._end.settimeout(20)
        self._read = b""
        self.send(words)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def send(self, words: bytes) -> None:
        """Send them; a daemon that has heard enough does not matter."""
        try:
            self._end.sendall(words)
        except (BrokenPipeError, ConnectionResetError):
            return

    def send_what_goes(self, words: bytes) -> None:
        """Send as much as is taken at once."""
        self._end.settimeout(0.2)
        try:
            self._end.sendall(words)
        except OSError:
            return
        finally:
            self._end.settimeout(20)

    def head(self) -> bytes:
        """The answer up to its body."""
        while b"\r\n\r\n" not in self._read and (data := self._end.recv(65536)):
            self._read += data
        return self._read.partition(b"\r\n\r\n")[0]

    def rest(self, seconds: float = 20) -> bytes:
        """All that comes until the daemon closes; fails if it does not."""
        self._end.settimeout(seconds)
        try:
            while data := self._end.recv(1 << 16):
                self._read += data
        except ConnectionResetError:
            pass
        finally:
            self._end.close()
        return self._read

    def is_closed(self) -> bool:
        """Whether the daemon has closed it."""
        self._end.setblocking(False)
        try:
            return self._end.recv(1 << 16, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False


def post(path: bytes, body: bytes, headers: bytes = b"", said: int | None = None) -> bytes:
    """A POST. said: its Content-Length, where that is to be another one."""
    length = len(body) if said is None else said
    return b"POST %s HTTP/1.0\r\n%sContent-Length: %d\r\n\r\n%s" % (path, headers, length, body)


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


def body_of(answer: bytes) -> Any:
    """The JSON of an answer."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])
