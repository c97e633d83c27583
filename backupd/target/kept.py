"""Asking a file system what it really kept: some take a mode, owner or time, say yes, and keep another (FUSE, FAT)."""

from __future__ import annotations

import os
import stat as modes

from backupd.target.acls import ACCESS_ACL
from backupd.target.losses import Aspect, failure, lost
from backupd.target.placing import temporary_name
from backupd.target.wanted import Handle, Wanted
from backupd.tree.entry import Kind

_SECOND = 1_000_000_000
_PROBED = 1_234_567_891 * _SECOND + 123_456_789
_honest: set[int] = set()
"""st_dev of file systems that kept a changed mode and a time to the nanosecond: not asked again."""
_honest_to_seconds: set[int] = set()
"""The same with times of whole seconds (odd ones, for FAT keeps every second one)."""


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


def must_ask(device: int, mtime_ns: int) -> bool:
    """Whether to compare: until a file system proved honest, and always for times that older inodes can't hold."""
    if device not in _honest and (mtime_ns % _SECOND or device not in _honest_to_seconds):
        return True
    return not 0 <= mtime_ns < 2**31 * _SECOND


def tell_silent(handle: Handle, now: os.stat_result, wanted: Wanted, mode: int, losses: list[str]) -> None:
    """Add what was lost without an error; `now` is how the thing was before, `mode` what it was given."""
    try:
        kept = os.stat(handle.where, **handle.options)
    except OSError as error:
        losses.append(lost(Aspect.MODE, "not read back", error))
        return
    told = " ".join(losses)
    entry, owner = wanted.entry, wanted.owner
    has_mode = entry.kind == Kind.SYMLINK or any(name == ACCESS_ACL for name, _ in wanted.xattrs)
    if not has_mode and modes.S_IMODE(kept.st_mode) != mode and Aspect.MODE not in told and Aspect.SETUID not in told:
        what = f"{mode:04o} not set"
        losses.append(lost(Aspect.MODE, what, f"the file system keeps {modes.S_IMODE(kept.st_mode):04o}"))
    if owner is not None and (kept.st_uid, kept.st_gid) != owner and Aspect.OWNER not in told:
        what = f"{owner[0]}:{owner[1]} not set"
        losses.append(lost(Aspect.OWNER, what, f"the file system keeps {kept.st_uid}:{kept.st_gid}"))
    if kept.st_mtime_ns != entry.mtime_ns and Aspect.TIME not in told:
        off = f"{abs(kept.st_mtime_ns - entry.mtime_ns) / _SECOND:.9f}".rstrip("0").rstrip(".")
        losses.append(lost(Aspect.TIME, f"off by {off} s", "the file system keeps no other"))
    if losses or kept.st_mode == now.st_mode or kept.st_mtime_ns == now.st_mtime_ns:
        return
    if entry.mtime_ns % 1000:
        _honest.add(now.st_dev)
    elif entry.mtime_ns // _SECOND % 2:
        _honest_to_seconds.add(now.st_dev)
