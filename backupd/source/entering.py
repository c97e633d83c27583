"""Opening a directory of the source and looking at it, in one step."""

from __future__ import annotations

import os

from backupd.source import metadata
from backupd.source.grafts import Grafts
from backupd.source.metadata import Attributes


def enter(
    grafts: Grafts, path: bytes, name: bytes, parent_fd: int | None, *, reads_attributes: bool = False
) -> tuple[int, os.stat_result, Attributes | None]:
    """(descriptor, its stat, what it has beside that where it is asked for) of a directory. Raises OSError.

    name: its path, or its name in the parent.
    """
    fd = grafts.open_directory(path, name, parent_fd)
    try:
        stat = os.fstat(fd)
        return fd, stat, metadata.read_attributes(fd, stat) if reads_attributes else None
    except OSError:
        os.close(fd)
        raise
