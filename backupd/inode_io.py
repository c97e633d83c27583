"""Extended attributes and inode flags: what Python's os has no call for, or not on every platform.

Errors are plain OSError; callers turn them into problems. Values are those of the kernel, nothing is interpreted.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import sys

LINUX_FLAGS: dict[str, int] = {
    "secrm": 0x1,
    "unrm": 0x2,
    "compr": 0x4,
    "sync": 0x8,
    "immutable": 0x10,
    "append": 0x20,
    "nodump": 0x40,
    "noatime": 0x80,
    "nocomp": 0x400,
    "journal": 0x4000,
    "notail": 0x8000,
    "dirsync": 0x10000,
    "topdir": 0x20000,
    "nocow": 0x800000,
    "dax": 0x2000000,
    "projinherit": 0x20000000,
}
"""FS_*_FL bits that a program may set again (linux/fs.h); the others tell how a file system stores a file."""

MACOS_FLAGS: dict[str, int] = {
    "nodump": 0x1,
    "uchg": 0x2,
    "uappnd": 0x4,
    "opaque": 0x8,
    "hidden": 0x8000,
    "arch": 0x10000,
    "schg": 0x20000,
    "sappnd": 0x40000,
}
"""st_flags bits that chflags(2) may set again."""

FLAGS = MACOS_FLAGS if sys.platform == "darwin" else LINUX_FLAGS
KEPT_FLAGS = sum(FLAGS.values())
FIXING_FLAGS = 0x60006 if sys.platform == "darwin" else 0x30
"""The immutable and append-only bits: with one of them set a thing can't be changed, renamed or deleted."""
EARLY_FLAGS = 0 if sys.platform == "darwin" else 0x2800004
"""Bits that shape how data is laid down (compr, nocow, dax): to be set while a file is empty."""

NOT_SUPPORTED = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
"""What a file system without extended attributes or flags answers."""
if sys.platform == "darwin":
    NO_ATTRIBUTE = errno.ENOATTR
else:
    NO_ATTRIBUTE = errno.ENODATA

_libc = ctypes.CDLL(None, use_errno=True)


def _flag_requests() -> tuple[int, int]:
    """FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, which three old architectures number otherwise (asm/ioctl.h)."""
    size = struct.calcsize("l") << 16 | ord("f") << 8
    machine = os.uname().machine
    if machine.startswith(("ppc", "mips", "sparc", "alpha")):
        return 2 << 29 | size | 1, 4 << 29 | size | 2
    return 2 << 30 | size | 1, 1 << 30 | size | 2


_GET_FLAGS, _SET_FLAGS = _flag_requests()
_EMPTY = bytes(8)

if sys.platform == "darwin":
    for _name in ("flistxattr", "fgetxattr"):
        getattr(_libc, _name).restype = ctypes.c_ssize_t

    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def list_xattrs(where: int | bytes, *, follow: bool = True) -> list[bytes]:
        """Names of the extended attributes of an open thing, in byte order."""
        size = _checked(_libc.flistxattr(where, None, ctypes.c_size_t(0), 0))
        buffer = ctypes.create_string_buffer(size + 1)
        size = _checked(_libc.flistxattr(where, buffer, ctypes.c_size_t(size), 0))
        return sorted(name for name in buffer.raw[:size].split(b"\0") if name)

    def get_xattr(where: int | bytes, name: bytes, *, follow: bool = True) -> bytes:
        """Value of one extended attribute."""
        size = _checked(_libc.fgetxattr(where, name, None, ctypes.c_size_t(0), 0, 0))
        buffer = ctypes.create_string_buffer(size + 1)
        size = _checked(_libc.fgetxattr(where, name, buffer, ctypes.c_size_t(size), 0, 0))
        return buffer.raw[:size]

    def set_xattr(where: int | bytes, name: bytes, value: bytes) -> None:
        """Set one extended attribute."""
        _checked(_libc.fsetxattr(where, name, value, ctypes.c_size_t(len(value)), 0, 0))

    def remove_xattr(where: int | bytes, name: bytes) -> None:
        """Remove one extended attribute."""
        _checked(_libc.fremovexattr(where, name, 0))

    def read_flags(fd: int) -> int:
        """All flags of an open file or directory, kept ones and others."""
        return os.fstat(fd).st_flags

    def _write_flags(fd: int, flags: int) -> None:
        _checked(_libc.fchflags(fd, ctypes.c_uint(flags)))

else:

    def list_xattrs(where: int | bytes, *, follow: bool = True) -> list[bytes]:
        """Names of the extended attributes of a descriptor or path, in byte order."""
        names = os.listxattr(where, follow_symlinks=follow)
        return sorted(map(os.fsencode, names)) if names else []

    def get_xattr(where: int | bytes, name: bytes, *, follow: bool = True) -> bytes:
        """Value of one extended attribute."""
        return os.getxattr(where, name, follow_symlinks=follow)

    def set_xattr(where: int | bytes, name: bytes, value: bytes) -> None:
        """Set one extended attribute."""
        os.setxattr(where, name, value)

    def remove_xattr(where: int | bytes, name: bytes) -> None:
        """Remove one extended attribute."""
        os.removexattr(where, name)

    def read_flags(fd: int) -> int:
        """All flags of an open file or directory, kept ones and others."""
        return int.from_bytes(fcntl.ioctl(fd, _GET_FLAGS, _EMPTY)[:4], sys.byteorder)

    def _write_flags(fd: int, flags: int) -> None:
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("Ixxxx", flags))


def write_flags(fd: int, flags: int, mask: int = KEPT_FLAGS) -> None:
    """Set the kept flags inside `mask` to what `flags` says; all other bits stay as they are."""
    now = read_flags(fd)
    wanted = now & ~mask | flags & mask
    if wanted != now:
        _write_flags(fd, wanted)


def sync_file_system(fd: int) -> None:
    """Bring all that was written to the file system of an open file or directory to its disk.

    Raises OSError, also for an earlier write that the kernel could not bring there.
    """
    if sys.platform == "darwin":
        os.sync()
    elif _libc.syncfs(fd):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
