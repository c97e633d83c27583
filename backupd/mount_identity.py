"""Which mount of which start of the machine something lies on: what was not synced is only there while that lasts."""

from __future__ import annotations

import ctypes
import os
import sys

from blake3 import blake3

IDENTITY_BYTES = 16
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_AT_EMPTY_PATH = 0x1000
_STATX_MNT_ID_UNIQUE = 0x4000
_STATX_BYTES = 256
_MOUNT_OFFSET = 144
_libc = ctypes.CDLL(None, use_errno=True)


def mount_identity(fd: int) -> bytes | None:
    """16 bytes that no other mount has, nor this one after the next start; None where the system can't tell.

    Linux tells from 6.8 on (statx, STATX_MNT_ID_UNIQUE): earlier numbers of mounts are given again.
    """
    if not sys.platform.startswith("linux") or not hasattr(_libc, "statx"):
        return None
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(fd, b"", _AT_EMPTY_PATH, _STATX_MNT_ID_UNIQUE, found):
        return None
    if not int.from_bytes(found.raw[:4], sys.byteorder) & _STATX_MNT_ID_UNIQUE:
        return None
    try:
        with open(_BOOT_ID, "rb") as file:
            boot = file.read()
    except OSError:
        return None
    device = os.fstat(fd).st_dev.to_bytes(8, "little")
    return blake3(boot + device + found.raw[_MOUNT_OFFSET : _MOUNT_OFFSET + 8]).digest(IDENTITY_BYTES)


def mount_number(fd: int) -> int:
    """What tells mounts apart while they stand, bind mounts too; 0 where the system does not say it."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            rows = [line.split() for line in file.read().splitlines()]
    except OSError:
        return 0
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == b"mnt_id:" and row[1].isdigit()), 0)  # noqa: PLR2004
