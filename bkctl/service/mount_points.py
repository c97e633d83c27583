"""What is mounted in a directory, bind mounts of the same file system too."""

from __future__ import annotations

import os

from backupd.errors import BackupError
from backupd.model.mount_table import TABLE, parse_mountinfo


def mount_points_in(directory: str, table: str = TABLE) -> list[str]:
    """Mount points that are a directory or lie below it, in order; empty where the system tells none (no /proc).

    Raises BackupError when its answer can't be read.
    """
    above = os.fsencode(os.path.realpath(directory)).rstrip(b"/")
    try:
        with open(table, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupError(f"can't read {table}: {error.strerror}") from error
    points = {row.path for row in parse_mountinfo(text)}
    return sorted(os.fsdecode(path) for path in points if path == above or path.startswith(above + b"/"))
