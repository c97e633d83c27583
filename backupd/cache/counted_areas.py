"""What the areas of the sets at a place held when they were last counted there: kept so that nobody counts to be shown.

A file of the place's cache: lost, it comes back with the next freeing.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.model.areas import Statistics
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_NAME = "areas.json"
_LIMIT_BYTES = 16 << 20


def load(directory: str) -> Statistics | None:
    """directory: the place's cache. None where nothing was counted, or can't be read."""
    with suppress(OSError, *MALFORMED), open(os.path.join(directory, _NAME), "rb") as file:
        return msgspec.json.decode(file.read(_LIMIT_BYTES), type=Statistics)
    return None


def keep(directory: str, found: Statistics) -> None:
    """In place of what was counted before. Raises StateFullError, AccessError, StateError."""
    path = os.path.join(directory, _NAME)
    try:
        durable_io.make_directories(directory)
        durable_io.remove_leftovers(directory)
        durable_io.replace(path, [msgspec.json.encode(found)])
    except OSError as error:
        raise translated(error, path) from error
