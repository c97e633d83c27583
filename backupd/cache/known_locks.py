"""Until when objects of a place are locked, as far as this host knows: files of the place's cache.

What they say is never more than the store has, for locks only become longer. Losing them costs requests alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_PREFIX = "locks-"
_LIMIT_BYTES = 256 << 20


def path_of(cache: str, owner: str) -> str:
    """Who writes has a file of its own: a set, whose lock is held, or freeing."""
    return os.path.join(cache, _PREFIX + owner)


def load(path: str) -> dict[str, int] | None:
    """By name of an object below the repository nanoseconds since 1970; None: there is no such file, or none whole."""
    with suppress(OSError, *MALFORMED), open(path, "rb") as file:
        return msgspec.msgpack.decode(file.read(_LIMIT_BYTES), type=dict[str, int])
    return None


def load_all(cache: str) -> dict[str, int]:
    """What all know of a place, of each object the longest."""
    found: dict[str, int] = {}
    with suppress(OSError):
        for name in os.listdir(cache):
            if name.startswith(_PREFIX):
                for locked, until_ns in (load(os.path.join(cache, name)) or {}).items():
                    found[locked] = max(until_ns, found.get(locked, until_ns))
    return found


def keep(path: str, known: Mapping[str, int]) -> None:
    """Make the file anew. Raises StateFullError, AccessError, StateError."""
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.replace(path, [msgspec.msgpack.encode(known)])
    except OSError as error:
        raise translated(error, path) from error
