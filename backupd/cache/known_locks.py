"""Until when blocks and other objects of a place are locked, as far as this host knows: a file of the place's cache.

What it says is never more than the store has, for locks only become longer. Losing it costs requests alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

FILE = "locks"
"""Of the place's cache directory."""
_LIMIT_BYTES = 1 << 30


class KnownLocks(msgspec.Struct):
    """Of one place."""

    until: dict[str, int] = {}
    """By name of the object below the repository: seconds since 1970."""
    needed: dict[str, list[str]] = {}
    """By set: the objects that its newest snapshot needs, as the last run that looked found them."""


def load(path: str) -> KnownLocks:
    """What is known; nothing where there is no such file, or none that can be read."""
    with suppress(OSError, *MALFORMED), open(path, "rb") as file:
        return msgspec.msgpack.decode(file.read(_LIMIT_BYTES), type=KnownLocks)
    return KnownLocks()


def keep(path: str, known: KnownLocks) -> None:
    """Make the file anew. Raises StateFullError, AccessError, StateError."""
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.replace(path, [msgspec.msgpack.encode(known)])
    except OSError as error:
        raise translated(error, path) from error
