"""How the system itself writes a path.

On macOS names are found in whatever case they are asked for, and firm links join volumes.
"""

from __future__ import annotations

import fcntl
import os

_MAXIMUM_BYTES = 1024
"""Of a path on macOS."""
_GET_PATH: int | None = getattr(fcntl, "F_GETPATH", None)


def true_path(path: bytes) -> bytes:
    """A directory's path as the system writes it, or as it is given where it doesn't say. Raises OSError."""
    if _GET_PATH is None:
        return path
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return path_of(fd) or path
    finally:
        os.close(fd)


def path_of(fd: int) -> bytes:
    """Where an open file is; empty: it can't be told. Raises OSError."""
    if _GET_PATH is None:
        return os.readlink(b"/proc/self/fd/%d" % fd)
    return fcntl.fcntl(fd, _GET_PATH, bytes(_MAXIMUM_BYTES)).partition(b"\0")[0]
