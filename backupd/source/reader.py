"""Opening and reading files of the source so that nothing hangs, follows or lies (DESIGN 6, Reading)."""

from __future__ import annotations

import errno
import os
import stat as modes

from backupd.model.results import ProblemKind
from backupd.source.extents import ExtentMap

_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_O_NOATIME = getattr(os, "O_NOATIME", 0)


CHANGED_TEXT = "changed while it was read"
BECAME_ANOTHER = "became something else while the backup ran"
_ANOTHER_THING = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO)
"""What opening gives where a symlink, no directory or a socket stands instead."""


class ChangedTypeError(OSError):
    """Another thing stands under the name than was there a moment ago."""


def describe(error: OSError) -> tuple[ProblemKind, str]:
    """(kind of problem, message) for what can't be read."""
    if isinstance(error, FileNotFoundError):
        return "vanished", "vanished while the backup ran"
    if isinstance(error, ChangedTypeError):
        return "changed", str(error)
    if error.errno in _ANOTHER_THING:
        return "changed", BECAME_ANOTHER
    return "unreadable", os.strerror(error.errno).lower() if error.errno else str(error)


def open_file(directory_fd: int, name: bytes) -> tuple[int, os.stat_result]:
    """(descriptor, its stat) of a regular file. Raises OSError, ChangedTypeError when it is none."""
    try:
        fd = os.open(name, _OPEN_FILE | _O_NOATIME, dir_fd=directory_fd)
    except PermissionError:
        # O_NOATIME is for the owner and root; others may still read.
        fd = os.open(name, _OPEN_FILE, dir_fd=directory_fd)
    stat = os.fstat(fd)
    if not modes.S_ISREG(stat.st_mode):
        os.close(fd)
        raise ChangedTypeError(BECAME_ANOTHER)
    return fd, stat


def read_content(fd: int, extents: ExtentMap, start: int, end: int) -> bytes:
    """Content from `start` to `end`; shorter where the file ends before."""
    parts: list[bytes] = []
    for first, length in extents.pieces(start, end):
        offset, last = first, first + length
        while offset < last:
            part = os.pread(fd, last - offset, offset)
            if not part:
                return b"".join(parts)
            parts.append(part)
            offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_whole(fd: int, extents: bytes, size: int) -> bytes:
    """All content of a file of that size; one read where it has no holes and nobody cuts it short meanwhile."""
    if extents:
        mapped = ExtentMap(extents, size)
        return read_content(fd, mapped, 0, mapped.content_bytes)
    content = os.pread(fd, size, 0) if size else b""
    return content if len(content) == size else content + read_content(fd, ExtentMap(b"", size), len(content), size)


def is_changed(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file was written to between two looks at its descriptor."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
