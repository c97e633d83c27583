"""The way from a command to the worker that stores what it writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select

from backupd.model.streams import GIVEN_UP

_PIPE_BYTES = 1 << 20


class Fifo:
    """The way from a command to the worker that stores what it writes."""

    def __init__(self, path: str) -> None:
        """Make it. Raises OSError."""
        self.path = path
        os.mkfifo(path, 0o600)
        # Held open by us: what is written is not lost, and does not end, before its reader and its writer are there.
        self._read_fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.write_fd: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def is_open(self) -> bool:
        """Whether anybody can write to it yet."""
        if self.write_fd is not None or self._read_fd is None:
            return self.write_fd is not None
        poll = select.poll()
        poll.register(self._read_fd, 0)
        return not poll.poll(0)

    def end_writing(self) -> None:
        """From here on the stream ends when all others have ended writing."""
        if self.write_fd is not None:
            os.close(self.write_fd)
            self.write_fd = None

    def give_up(self) -> None:
        """Have its reader end, though somebody who can't be ended holds it open."""
        os.close(os.open(self.path + GIVEN_UP, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def close(self) -> None:
        """Take it away."""
        self.end_writing()
        if self._read_fd is not None:
            os.close(self._read_fd)
            self._read_fd = None
        for path in (self.path, self.path + GIVEN_UP):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
