"""The 16 bytes every binary object begins with (docs/format.md, Header)."""

from __future__ import annotations

import struct
from enum import IntEnum

from backupd.errors import FormatError, NewerVersionError

_HEADER = struct.Struct("<4sBBHII")
MAGIC = b"\x89BKD"
HEADER_BYTES = _HEADER.size


class ObjectKind(IntEnum):
    """What an object is; part of what its seal is bound to."""

    KEY_SLOT = 2
    KEYRING = 3
    BLOCK = 4
    INDEX = 5
    SNAPSHOT = 6
    SESSION = 7
    CANDIDATES = 8
    DELETED = 9
    DROP = 10
    DAMAGE = 11
    NOTE = 12


def make_header(kind: ObjectKind, optional: int = 0) -> bytes:
    """The header that this version writes. optional: feature bits that a reader need not know."""
    return _HEADER.pack(MAGIC, kind, 1, 0, 0, optional)


def optional_bits(data: bytes | memoryview, kind: ObjectKind, what: str) -> int:
    """The feature bits that a reader need not know. Raises as `check_header`."""
    check_header(data, kind, what)
    optional: int = _HEADER.unpack_from(data)[5]
    return optional


def check_header(data: bytes | memoryview, kind: ObjectKind, what: str) -> None:
    """Refuse bytes that do not begin an object of this kind and version.

    Raises FormatError, or NewerVersionError when a newer program wrote it.
    """
    if len(data) < HEADER_BYTES:
        raise FormatError(f"{what} is truncated: {len(data)} bytes")
    magic, found, version, _, required, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FormatError(f"{what} is no object of this program")
    if version > 1 or required:
        raise NewerVersionError(
            f"{what} was written by a newer version (format {version}, required features {required:#x})",
            hint="update this program; nothing was touched",
        )
    if found != kind:
        raise FormatError(f"{what} is of kind {found}, not {int(kind)}")
