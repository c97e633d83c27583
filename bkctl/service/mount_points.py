"""What is mounted in a directory, bind mounts of the same file system too."""

from __future__ import annotations

import os
import re

from backupd.errors import BackupError

_TABLE = "/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")
_FIELDS_BEFORE_PATH = 4


def mount_points_in(directory: str, table: str = _TABLE) -> list[str]:
    """Mount points that are a directory or lie below it, in order; empty where the system tells none (no /proc).

    Raises BackupError when its answer can't be read.
    """
    above = os.fsencode(os.path.realpath(directory)).rstrip(b"/")
    try:
        with open(table, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupError(f"can't read {table}: {error.strerror}") from error
    points = {_path_in(line) for line in lines}
    return sorted(os.fsdecode(path) for path in points if path == above or path.startswith(above + b"/"))


def _path_in(line: bytes) -> bytes:
    """The mount point in a line of the table (proc_pid_mountinfo(5))."""
    fields = line.split(b" ")
    path = fields[_FIELDS_BEFORE_PATH] if len(fields) > _FIELDS_BEFORE_PATH else b""
    if not path.startswith(b"/"):
        raise BackupError(f"{_TABLE} has a line that is none: {line!r}")
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), path)
