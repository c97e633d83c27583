"""What a stat result does not tell of an entry: extended attributes with ACLs, inode flags, birth time."""

from __future__ import annotations

import os
import stat as modes
import sys
from typing import NamedTuple

from backupd.inode_io import (
    KEPT_FLAGS,
    NO_ATTRIBUTE,
    NOT_SUPPORTED,
    get_xattr,
    list_xattrs,
    read_flags,
)

__all__ = ["KEPT_FLAGS", "Attributes", "kept_mtime_ns", "read_attributes", "read_attributes_at"]

_FIRST_NS, _LAST_NS = -(2**63), 2**64 - 1
_without_flags: set[tuple[int, int]] = set()
"""(st_dev, file type) that know no inode flags: each was asked once (overlayfs knows them for files alone)."""


class Attributes(NamedTuple):
    """What an entry has beside its stat."""

    xattrs: list[tuple[bytes, bytes]]
    """In byte order of names; POSIX ACLs are system.posix_acl_access and system.posix_acl_default."""
    flags: int
    """KEPT_FLAGS bits only."""
    birth_ns: int | None
    """macOS only."""
    problems: list[str]
    """What could not be read, a line each."""


def read_attributes(fd: int, stat: os.stat_result) -> Attributes:
    """Read what an open file or directory has; never raises, what can't be read is a problem.

    stat: of that descriptor. Called once for each file that is read.
    """
    problems = _time_problems(stat)
    return Attributes(_xattrs(fd, True, problems), _flags(fd, stat, problems), _birth_ns(stat), problems)


def read_attributes_at(directory_fd: int, name: bytes, stat: os.stat_result) -> Attributes:
    """Read what a symlink, FIFO, device or socket has without opening it; never raises.

    On macOS these have no extended attributes for us, but their flags and birth time.
    """
    problems = _time_problems(stat)
    if sys.platform == "darwin":
        return Attributes([], stat.st_flags & KEPT_FLAGS, _birth_ns(stat), problems)
    return Attributes(_xattrs(b"/proc/self/fd/%d/%s" % (directory_fd, name), False, problems), 0, None, problems)


def kept_mtime_ns(stat: os.stat_result) -> int:
    """The time of modification as entries hold it: from 1677 to 2554, else the nearest; some file systems know more."""
    return min(max(stat.st_mtime_ns, _FIRST_NS), _LAST_NS)


def _time_problems(stat: os.stat_result) -> list[str]:
    is_kept = kept_mtime_ns(stat) == stat.st_mtime_ns
    return [] if is_kept else ["time of modification is not between 1677 and 2554: the nearest is stored"]


def _xattrs(where: int | bytes, follow: bool, problems: list[str]) -> list[tuple[bytes, bytes]]:
    try:
        names = list_xattrs(where, follow=follow)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            problems.append(f"extended attributes not read: {error.strerror}")
        return []
    found = []
    for name in names:
        try:
            found.append((name, get_xattr(where, name, follow=follow)))
        except OSError as error:
            if error.errno != NO_ATTRIBUTE:
                shown = name.decode(errors="backslashreplace")
                problems.append(f"extended attribute {shown} not read: {error.strerror}")
    return found


def _flags(fd: int, stat: os.stat_result, problems: list[str]) -> int:
    if sys.platform == "darwin":
        return stat.st_flags & KEPT_FLAGS
    kind = modes.S_IFMT(stat.st_mode)
    if kind not in (modes.S_IFREG, modes.S_IFDIR) or (stat.st_dev, kind) in _without_flags:
        return 0
    try:
        return read_flags(fd) & KEPT_FLAGS
    except OSError as error:
        if error.errno in NOT_SUPPORTED:
            _without_flags.add((stat.st_dev, kind))
        else:
            problems.append(f"inode flags not read: {error.strerror}")
    return 0


def _birth_ns(stat: os.stat_result) -> int | None:
    if sys.platform == "darwin":
        return int(stat.st_birthtime * 1_000_000_000)
    return None
