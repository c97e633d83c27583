"""The list of snapshots that this host has seen at a destination: one that is gone without a drop record is an alarm.

A text file, 0600, a name a line and 8 hex digits of its BLAKE3: a name with a wrong digit would be a false alarm. What
can't be read in it is passed over: the list warns, it decides nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from blake3 import blake3

from backupd import durable_io
from backupd.snapshot.naming import parse_snapshot_name
from backupd.state_errors import translated

_LIMIT_BYTES = 256 << 20


def load(path: str) -> set[str]:
    """Names of the snapshots seen; empty where there is no list yet. Raises AccessError."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT_BYTES)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise translated(error, path) from error
    # A line without its end was torn by a power cut.
    lines = data.decode(errors="replace").split("\n")[:-1]
    return {name for line in lines if (name := _name_in(line)) is not None}


def add(path: str, names: Iterable[str]) -> None:
    """Note names as seen, on the disk when this returns. Raises StateFullError, AccessError."""
    fresh = sorted(set(names) - load(path))
    if not fresh:
        return
    try:
        durable_io.make_directories(os.path.dirname(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            text = ("\n" if is_torn else "") + "".join(_line(name) for name in fresh)
            durable_io.write_buffers(fd, [text.encode()])
            durable_io.sync_file(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise translated(error, path) from error


def keep(path: str, names: Iterable[str]) -> None:
    """Make the list anew of these names alone. Raises StateFullError, AccessError."""
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.replace(path, ["".join(_line(name) for name in sorted(names)).encode()])
    except OSError as error:
        raise translated(error, path) from error


def _line(name: str) -> str:
    return f"{name} {_check_of(name)}\n"


def _name_in(line: str) -> str | None:
    """The name of a line; None where it is not what was written. Lines of earlier versions end with the name."""
    name, space, check = line.partition(" ")
    is_whole = not space or check == _check_of(name)
    return name if is_whole and parse_snapshot_name(name) is not None else None


def _check_of(name: str) -> str:
    return blake3(name.encode()).hexdigest(4)
