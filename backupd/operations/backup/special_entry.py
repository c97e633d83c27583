"""The entry of what has no content to read: symlinks, FIFOs, devices, sockets. None of them is ever opened."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable

from backupd.source import metadata
from backupd.source.reader import BECAME_ANOTHER, ChangedTypeError
from backupd.source.scanner import Seen
from backupd.source.user_rights import OWN_RIGHTS, SourceRights
from backupd.tree.entry import Device, Entry, Extra, Kind, Stored

_KINDS = {
    modes.S_IFLNK: Kind.SYMLINK,
    modes.S_IFIFO: Kind.FIFO,
    modes.S_IFCHR: Kind.CHARACTER_DEVICE,
    modes.S_IFBLK: Kind.BLOCK_DEVICE,
    modes.S_IFSOCK: Kind.SOCKET,
}


def make_special(
    fd: int,
    found: Seen,
    group: bytes | None,
    stored: Callable[[bytes], bytes | Stored],
    rights: SourceRights = OWN_RIGHTS,
) -> tuple[Entry, list[str]]:
    """(its entry, what of its metadata could not be read, a line each). Raises OSError when it is gone.

    fd: of its directory. group: of its hard links. stored: gives a value as entries hold it.
    rights: with which it is looked at.
    """
    name, stat = found
    kind = _KINDS[modes.S_IFMT(stat.st_mode)]
    target, attributes = rights.do(_look, fd, found)
    content: bytes | Device | None = target
    if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        content = Device(os.major(stat.st_rdev), os.minor(stat.st_rdev))
    extra = None
    if group or attributes.xattrs or attributes.flags or attributes.birth_ns:
        xattrs = [(n, stored(v)) for n, v in attributes.xattrs]
        extra = Extra(group, xattrs or None, attributes.birth_ns, attributes.flags)
    mode, mtime_ns = stat.st_mode & 0o7777, metadata.kept_mtime_ns(stat)
    size = len(target) if target is not None else 0
    entry = Entry(name, kind, mode, stat.st_uid, stat.st_gid, mtime_ns, size, content, extra)
    return entry, attributes.problems


def _look(fd: int, found: Seen) -> tuple[bytes | None, metadata.Attributes]:
    """(target of a symlink, attributes), at once: to hand something over to another thread takes longer than this."""
    name, stat = found
    target = _target(fd, name) if modes.S_ISLNK(stat.st_mode) else None
    return target, metadata.read_attributes_at(fd, name, stat)


def _target(fd: int, name: bytes) -> bytes:
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise ChangedTypeError(BECAME_ANOTHER) from error
        raise
