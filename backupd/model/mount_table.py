"""The kernel's table of mounts as text (proc_pid_mountinfo(5)), for the daemon and the client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from backupd.errors import BackupError

TABLE = "/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")


class MountRow(NamedTuple):
    """One mounted file system, as the kernel tells it."""

    path: bytes
    root: bytes
    """The directory of the file system that shows at the path."""
    device: int
    type: bytes
    source: bytes
    number: int = 0
    """Of the mount, while the machine is up."""
    is_writable: bool = True
    """Whether anybody may write to the file system, at this mount or at another."""


def parse_mountinfo(text: bytes) -> Iterator[MountRow]:
    """All of them in the order they were made. Raises BackupError for a line that is none."""
    # Names may hold all other signs that end lines.
    for line in text.removesuffix(b"\n").split(b"\n") if text else ():
        before, separator, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        major, colon, minor = fields[2].partition(b":") if len(fields) > 4 else (b"", b"", b"")
        if not (separator and colon and major.isdigit() and minor.isdigit() and fields[4].startswith(b"/")):
            raise BackupError(f"{TABLE} has a line that is none: {line!r}")
        yield MountRow(
            path=unescaped(fields[4]),
            root=unescaped(fields[3]),
            device=os.makedev(int(major), int(minor)),
            type=unescaped(rest[0]),
            source=unescaped(rest[1]) if len(rest) > 1 else b"",
            number=int(fields[0]) if fields[0].isdigit() and len(fields[0]) < 12 else 0,
            is_writable=len(rest) < 3 or rest[2].partition(b",")[0] != b"ro",
        )


def unescaped(field: bytes) -> bytes:
    """A field of this table or of that of swap files, as it is without them."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)
