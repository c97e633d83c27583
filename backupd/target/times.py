"""Setting modification and birth times, and finding out how exactly a file system keeps them."""

from __future__ import annotations

import os
import sys
from typing import Any

from backupd.target.losses import Aspect, failure, lost
from backupd.target.placing import temporary_name
from backupd.tree.entry import Entry

_SECOND = 1_000_000_000
_PROBED = 1_234_567_891 * _SECOND + 123_456_789
_exact: set[int] = set()
"""st_dev of file systems that gave back a time to the nanosecond."""


def set_times(
    where: int | bytes, options: dict[str, Any], now: os.stat_result, entry: Entry, losses: list[str]
) -> None:
    """Set the modification time (the access time with it: none is kept) and on macOS the birth time.

    A time that the file system rounds or cuts off is a loss; each file system is asked until it proved exact, and
    always for times that 32-bit or older inodes can't hold.
    """
    wanted = entry.mtime_ns
    birth = entry.extra.birth_ns if entry.extra is not None else None
    if now.st_mtime_ns == wanted and birth is None:
        return
    try:
        if birth is not None:
            _set_birth(where, options, birth, losses)
        os.utime(where, ns=(wanted, wanted), **options)
        is_common = 0 <= wanted < 2**31 * _SECOND
        if is_common and now.st_dev in _exact:
            return
        kept = os.stat(where, **options).st_mtime_ns
    except OSError as error:
        losses.append(lost(Aspect.TIME, "not set", error))
        return
    except OverflowError:
        losses.append(lost(Aspect.TIME, "not set", "no such time on this system"))
        return
    if kept != wanted:
        losses.append(lost(Aspect.TIME, f"off by {_shown(abs(kept - wanted))}", "the file system keeps no other"))
    elif is_common and wanted % 1000:
        _exact.add(now.st_dev)


def granularity_ns(directory_fd: int) -> int:
    """How far two times of one file may lie apart on this file system and still be the same: 1, or up to 2 s (FAT).

    Writes a temporary file there and deletes it. Raises TargetError, TargetFullError.
    """
    name = temporary_name()
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory_fd)
        try:
            os.utime(fd, ns=(_PROBED, _PROBED))
            off = abs(os.fstat(fd).st_mtime_ns - _PROBED)
        finally:
            os.close(fd)
            os.unlink(name, dir_fd=directory_fd)
    except OSError as error:
        raise failure("nothing can be created there", error) from error
    return next(step for step in (1, 100, 1000, 1_000_000, _SECOND, 2 * _SECOND) if off < step or step == 2 * _SECOND)


def _set_birth(where: int | bytes, options: dict[str, Any], birth_ns: int, losses: list[str]) -> None:
    """On macOS a modification time before the birth moves the birth there (utimes(2))."""
    if sys.platform == "darwin":
        os.utime(where, ns=(birth_ns, birth_ns), **options)
    else:
        losses.append(lost(Aspect.BIRTH, "not set", "this system has no call for it"))


def _shown(off_ns: int) -> str:
    return f"{off_ns / _SECOND:.9f}".rstrip("0").rstrip(".") + " s"
