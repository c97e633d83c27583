"""Temporary names beside the final one, and moving over what stands there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat as modes
import sys
from collections.abc import Container

from backupd.inode_io import FIXING_FLAGS, write_flags
from backupd.target.losses import failure

_TEMPORARY = re.compile(rb"\.bkrestore-[0-9a-f]{16}")


def temporary_name() -> bytes:
    """A new name for what is not whole yet."""
    return b".bkrestore-" + os.urandom(8).hex().encode()


def move_over(directory_fd: int, temporary: bytes, name: bytes) -> None:
    """Give what lies under a temporary name its final one, in place of what stands there, which is never opened.

    An empty directory is replaced, too; a full one is an error. The temporary name is gone afterwards in every case.
    Raises TargetError.
    """
    try:
        _rename(directory_fd, temporary, name)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory_fd)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise failure("a directory that is not empty is in the way", error) from error
        raise failure("what stands there was not replaced", error) from error


def _rename(directory_fd: int, temporary: bytes, name: bytes) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=directory_fd)
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except PermissionError:
        if not release(directory_fd, name):
            raise
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)


def remove(directory_fd: int, name: bytes) -> None:
    """Unlink what is no directory, taking off flags that forbid it. Raises OSError."""
    try:
        os.unlink(name, dir_fd=directory_fd)
    except PermissionError:
        if not release(directory_fd, name):
            raise
        os.unlink(name, dir_fd=directory_fd)


def release(directory_fd: int, name: bytes) -> bool:
    """Take the immutable and append-only flags off a file or directory; whether that was done.

    Not of a file that has other names: they may lie outside of what is restored.
    """
    try:
        fd = open_pinned(directory_fd, name)
    except OSError:
        return False
    try:
        stat = os.fstat(fd)
        if not modes.S_ISDIR(stat.st_mode) and (not modes.S_ISREG(stat.st_mode) or stat.st_nlink > 1):
            return False
        write_flags(fd, 0, FIXING_FLAGS)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def open_pinned(directory_fd: int, name: bytes) -> int:
    """Open a regular file or directory for reading, and nothing else: no FIFO that blocks, no device, no symlink.

    Raises OSError; EINVAL when it is something else.
    """
    if sys.platform == "darwin":
        kind = os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode
        _check_kind(kind)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        _check_kind(os.fstat(handle).st_mode)
        return os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def remove_leftovers(directory_fd: int, keep: Container[bytes] = ()) -> int:
    """Delete temporary files that a killed restore left in a directory; how many.

    keep: names that the snapshot has there. A file that a living restore writes is locked and stays.
    """
    count = 0
    for text in os.listdir(directory_fd):
        name = os.fsencode(text)
        if _TEMPORARY.fullmatch(name) and name not in keep and _is_abandoned(directory_fd, name):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory_fd)
                count += 1
    return count


def lock_temporary(fd: int) -> None:
    """Say that a temporary file is being written; holds until its descriptor is closed."""
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_abandoned(directory_fd: int, name: bytes) -> bool:
    try:
        stat = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        if not modes.S_ISREG(stat.st_mode):
            return not modes.S_ISDIR(stat.st_mode)
        fd = open_pinned(directory_fd, name)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _check_kind(mode: int) -> None:
    if not (modes.S_ISREG(mode) or modes.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
