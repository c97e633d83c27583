"""When this host first saw what it waits for at a place: a session that says nothing, an index object that is replaced.

A file of the place's cache: losing it costs only time, for the waiting begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_LIMIT_BYTES = 16 << 20


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A thing as it was when it was first seen like that."""

    mark: str
    """What would be another one if anything had moved."""
    boot_id: str
    monotonic: float
    """Seconds of the machine's clock that never goes back; it begins anew with each boot."""
    wall_ns: int

    def seconds_until(self, boot_id: str, monotonic: float) -> float:
        """How long it has been like that for sure; 0 where the machine was booted since."""
        return max(0.0, monotonic - self.monotonic) if boot_id == self.boot_id else 0.0


def load(path: str) -> dict[str, Seen]:
    """By name; empty where there is no such file, or none that can be read."""
    with suppress(OSError, *MALFORMED), open(path, "rb") as file:
        return msgspec.msgpack.decode(file.read(_LIMIT_BYTES), type=dict[str, Seen])
    return {}


def keep(path: str, seen: Mapping[str, Seen]) -> None:
    """Make the file anew of these alone. Raises StateFullError, AccessError, StateError."""
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.replace(path, [msgspec.msgpack.encode(seen)])
    except OSError as error:
        raise translated(error, path) from error
