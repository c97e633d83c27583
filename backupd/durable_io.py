"""Every durable local write: the one place where fsync, link and rename stand.

A file is written under a temporary name, fsynced, then moved to its name, then its directory is fsynced: without the
last step a power cut brings the file back under its temporary name (measured, DESIGN 3). Errors are plain OSError;
callers translate them into their own family. An error of fsync is final: the pages may be gone, never try again.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress

Buffers = Iterable[bytes | bytearray | memoryview]

_RENAME_NOREPLACE = 1
_RENAME_EXCL = 4
_AT_FDCWD = -100 if sys.platform.startswith("linux") else -2
_IOV_MAX = 512
_TEMPORARY = re.compile(r"\.(\d+)(\.[0-9a-f]{8})?\.tmp$")
_libc = ctypes.CDLL(None, use_errno=True)


def write_buffers(fd: int, buffers: Buffers) -> int:
    """Write all buffers in order; returns the number of bytes. Handles short writes."""
    pending = [memoryview(b).cast("B") for b in buffers if len(b)]
    total = 0
    while pending:
        written = os.writev(fd, pending[:_IOV_MAX])
        total += written
        index = 0
        while index < len(pending) and written >= len(pending[index]):
            written -= len(pending[index])
            index += 1
        del pending[:index]
        if written:
            pending[0] = pending[0][written:]
    return total


def sync_file(fd: int) -> None:
    """Bring a file's bytes to the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_directory(path: str) -> None:
    """Bring a directory's names to the disk; file systems that can't (FUSE) are left to themselves."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def make_directories(path: str, mode: int = 0o700) -> None:
    """Make a directory and those missing above it; their names are on the disk when this returns.

    Without that a power cut takes a whole new directory away with all that was synced in it. Raises FileExistsError
    where something else has the name.
    """
    missing = []
    above = path
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    for one in reversed(missing):
        try:
            os.mkdir(one, mode)
        except FileExistsError:
            if not os.path.isdir(one):
                raise
        _sync_if_readable(os.path.dirname(one))


def sync_ancestors(path: str) -> None:
    """Bring the names of all directories above a file to the disk, whoever made them and was killed before he did."""
    above = os.path.dirname(path)
    while True:
        _sync_if_readable(above)
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)


def write_temporary(path: str, buffers: Buffers, mode: int = 0o600, *, keeps_cached: bool = True) -> None:
    """Create `path` anew with these bytes, on the disk when this returns; removed again if anything fails.

    Without `keeps_cached` the kernel forgets the bytes: what nobody reads soon must not drive out what others read.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            write_buffers(fd, buffers)
            sync_file(fd)
            if not keeps_cached and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    except BaseException:
        os.unlink(path)
        raise


def allocate_new(path: str, size_bytes: int, mode: int = 0o600) -> None:
    """Create `path` anew, that large and of zeros, its space taken when this returns; removed again if that fails."""
    if not hasattr(os, "posix_fallocate"):
        part = bytes(1 << 20)
        write_temporary(path, [part] * (size_bytes >> 20) + [bytes(size_bytes & 0xFFFFF)], mode, keeps_cached=False)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def publish_new(temporary: str, path: str) -> None:
    """Give a temporary file its name if nothing has that name, else raise FileExistsError.

    By link, else by an exclusive rename; the temporary name is gone afterwards in every case but an error.
    Raises OSError EOPNOTSUPP where the file system has neither (exFAT through FUSE): see `publish_weakly`.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES):
            raise
        _rename_exclusive(temporary, path)
    else:
        os.unlink(temporary)
    sync_directory(os.path.dirname(path))


def publish_weakly(temporary: str, path: str) -> None:
    """Give a temporary file its name on a file system without create-if-absent: look, then rename."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def replace(path: str, buffers: Buffers, mode: int = 0o600) -> None:
    """Replace a local state file as a whole: readers see the old bytes or the new ones."""
    temporary = f"{path}.{os.getpid()}.tmp"
    # In containers a killed process had mostly the same number.
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    write_temporary(temporary, buffers, mode)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def remove_leftovers(directory: str) -> None:
    """Remove what `replace` of a process that is gone left in a directory, which need not be there."""
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        match = _TEMPORARY.search(name)
        if match is not None and not _is_running(int(match[1])):
            os.unlink(os.path.join(directory, name))


def append(fd: int, buffers: Buffers) -> None:
    """Append to an open journal; on the disk when this returns."""
    write_buffers(fd, buffers)
    sync_file(fd)


def _sync_if_readable(path: str) -> None:
    """A directory may take names of users who can't read it; it can't be synced by them."""
    try:
        sync_directory(path)
    except PermissionError:
        return


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _rename_exclusive(old: str, new: str) -> None:
    if sys.platform == "darwin":
        result = _libc.renamex_np(os.fsencode(old), os.fsencode(new), _RENAME_EXCL)
    else:
        result = _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE)
    if result:
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS):
            number = errno.EOPNOTSUPP
        raise OSError(number, os.strerror(number), old, None, new)
