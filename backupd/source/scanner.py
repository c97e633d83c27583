"""Looking at directories of the source: names in byte order, and every entry's stat (DESIGN 7)."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from blake3 import blake3

from backupd.source.chain import OPEN_DIRECTORY, OPEN_WAY
from backupd.source.signature import signature

_O_NOATIME = getattr(os, "O_NOATIME", 0)
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


class Seen(NamedTuple):
    """One entry of a directory, as lstat shows it."""

    name: bytes
    stat: os.stat_result


def open_directory(name: bytes, parent_fd: int | None = None) -> int:
    """Descriptor of a directory, symlinks refused. Raises OSError."""
    try:
        return os.open(name, OPEN_DIRECTORY | _O_NOATIME, dir_fd=parent_fd)
    except PermissionError:
        return os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)


def open_way(name: bytes, parent_fd: int | None = None) -> int:
    """Descriptor of a directory that is only passed through: search permission is enough. Raises OSError."""
    return os.open(name, OPEN_WAY, dir_fd=parent_fd)


def list_names(fd: int) -> list[bytes]:
    """All names in byte order. Raises OSError."""
    names = [name.encode(_ENCODING, _ERRORS) for name in os.listdir(fd)]
    names.sort()
    return names


def look(fd: int, names: list[bytes]) -> tuple[list[Seen], list[tuple[bytes, OSError]]]:
    """(entries that are there, names whose stat failed): an entry that vanished is among the latter."""
    seen: list[Seen] = []
    failed: list[tuple[bytes, OSError]] = []
    lstat = os.stat
    for name in names:
        try:
            seen.append(Seen(name, lstat(name, dir_fd=fd, follow_symlinks=False)))
        except OSError as error:
            failed.append((name, error))
    return seen, failed


def digest(seen: list[Seen]) -> tuple[bytes, list[bytes]]:
    """(16 bytes over names and signatures in order, the signatures)."""
    signatures = [signature(stat) for _, stat in seen]
    hasher = blake3(b"\0".join([name for name, _ in seen]))
    hasher.update(b"\0\0")
    hasher.update(b"".join(signatures))
    return hasher.digest(16), signatures
