"""The lines that an FTP server says, and whether some of them are still unheard."""

from __future__ import annotations

import select
import socket
import ssl

from backupd.destination.bounds import Deadline

_MAX_LINE_BYTES = 8192


class Replies:
    """Reads lines from a control connection; one recv may bring several."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        """seconds: that one reply may take."""
        self._connection, self._seconds = connection, seconds
        self._unheard = bytearray()
        self._deadline = Deadline(seconds)

    def begin(self) -> None:
        """A reply is waited for from now on."""
        self._deadline = Deadline(self._seconds)

    def line(self) -> str:
        """The next one, without its end. Raises EOFError at the end, ValueError for one that is too long."""
        while (end := self._unheard.find(b"\n")) < 0:
            if len(self._unheard) > _MAX_LINE_BYTES:
                raise ValueError("a line without end")
            part = self._connection.recv(_MAX_LINE_BYTES)
            if not part:
                raise EOFError
            self._deadline.took(len(part))
            self._unheard += part
        line = self._unheard[:end]
        del self._unheard[: end + 1]
        # Words of a server may be in any encoding.
        return line.rstrip(b"\r\n").decode(errors="replace")

    def has_more(self) -> bool:
        """Whether something came that nobody has heard: a line, a part of one, or the end."""
        is_held = isinstance(self._connection, ssl.SSLSocket) and self._connection.pending() > 0
        return bool(self._unheard) or is_held or bool(select.select([self._connection], [], [], 0)[0])
