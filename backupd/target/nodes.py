"""Entries that have no bytes of their own: symlinks, FIFOs, devices, sockets, and further names of one inode."""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes

from backupd.errors import TargetError
from backupd.inode_io import FIXING_FLAGS, read_flags, write_flags
from backupd.target.attributes import apply_at
from backupd.target.losses import Aspect, check_name, failure, lost
from backupd.target.placing import move_over, open_pinned, temporary_name
from backupd.target.wanted import Wanted
from backupd.tree.entry import Device, Entry, Kind

_TYPES = {
    Kind.FIFO: modes.S_IFIFO,
    Kind.CHARACTER_DEVICE: modes.S_IFCHR,
    Kind.BLOCK_DEVICE: modes.S_IFBLK,
    Kind.SOCKET: modes.S_IFSOCK,
}
_CANNOT_LINK = frozenset(
    {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}
)

HARD_LINK_LOST = lost(Aspect.HARD_LINK, "restored as a file of its own", "the file system can't link here")
"""What to tell of an entry that was copied because `link` could not link it."""


def create_node(directory_fd: int, name: bytes, wanted: Wanted, replace: bool = False, fresh: bool = True) -> list[str]:
    """Create a symlink, FIFO, device or socket with its metadata; returns the losses. It is never opened.

    replace: whether what stands there may be replaced, else it is an error. fresh: as for `attributes.apply`.
    Raises TargetError, TargetFullError; what stood there before still stands then.
    """
    check_name(name)
    entry = wanted.entry
    what = Kind(entry.kind).name.lower().replace("_", " ")
    current = name
    try:
        try:
            _make(directory_fd, name, entry)
        except FileExistsError:
            if not replace:
                raise
            current = temporary_name()
            _make(directory_fd, current, entry)
    except OSError as error:
        raise failure(f"{what} not made", error) from error
    except (ValueError, OverflowError) as error:
        raise TargetError(f"{what} not made: {error}") from error
    try:
        losses = apply_at(directory_fd, current, wanted, fresh)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(current, dir_fd=directory_fd)
        raise
    if current != name:
        move_over(directory_fd, current, name)
    return losses


def link(first: tuple[int, bytes], directory_fd: int, name: bytes, replace: bool = False) -> bool:
    """Give what was restored as `first` (directory descriptor, name) a further name; symlinks are not followed.

    False: it can't be linked here; write it as a file of its own and tell HARD_LINK_LOST. True also where both names
    are one inode already. Raises TargetError, TargetFullError.
    """
    check_name(name)
    check_name(first[1])
    if _is_linked(first, directory_fd, name):
        return True
    current = name
    try:
        try:
            _link(first, directory_fd, name)
        except FileExistsError:
            if not replace:
                raise
            current = temporary_name()
            _link(first, directory_fd, current)
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            return False
        raise failure("hard link not made", error) from error
    if current != name:
        move_over(directory_fd, current, name)
    return True


def _make(directory_fd: int, name: bytes, entry: Entry) -> None:
    if entry.kind == Kind.SYMLINK and isinstance(entry.content, bytes):
        os.symlink(entry.content, name, dir_fd=directory_fd)
        return
    kind = _TYPES.get(Kind(entry.kind))
    if kind is None:
        raise ValueError("no kind of node")
    device = 0
    if isinstance(entry.content, Device):
        numbers = (entry.content.major, entry.content.minor)
        device = os.makedev(*numbers)
        if (os.major(device), os.minor(device)) != numbers:
            raise OverflowError("no such device numbers on this system")
    if kind == modes.S_IFIFO:
        os.mkfifo(name, 0o600, dir_fd=directory_fd)
    else:
        os.mknod(name, kind | 0o600, device, dir_fd=directory_fd)


def _link(first: tuple[int, bytes], directory_fd: int, name: bytes) -> None:
    try:
        _link_plainly(first, directory_fd, name)
    except PermissionError:
        flags = _loosen(first)
        if not flags:
            raise
        try:
            _link_plainly(first, directory_fd, name)
        finally:
            _fix(first, flags)


def _link_plainly(first: tuple[int, bytes], directory_fd: int, name: bytes) -> None:
    os.link(first[1], name, src_dir_fd=first[0], dst_dir_fd=directory_fd, follow_symlinks=False)


def _loosen(first: tuple[int, bytes]) -> int:
    """Take the flags off that forbid linking a file; returns them, 0: none, or not to be taken off."""
    try:
        fd = open_pinned(*first)
    except OSError:
        return 0
    try:
        flags = read_flags(fd) & FIXING_FLAGS
        if flags:
            write_flags(fd, 0, FIXING_FLAGS)
        return flags
    except OSError:
        return 0
    finally:
        os.close(fd)


def _fix(first: tuple[int, bytes], flags: int) -> None:
    with contextlib.suppress(OSError):
        fd = open_pinned(*first)
        try:
            write_flags(fd, flags, FIXING_FLAGS)
        finally:
            os.close(fd)


def _is_linked(first: tuple[int, bytes], directory_fd: int, name: bytes) -> bool:
    try:
        one = os.stat(first[1], dir_fd=first[0], follow_symlinks=False)
        other = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except OSError:
        return False
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
