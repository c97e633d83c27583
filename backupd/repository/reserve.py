"""A megabyte at a destination that is given up where nothing else is left, so that deleting works (DESIGN 8.6)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from backupd.destination.contract import Destination
from backupd.errors import DestinationError, DestinationFullError, DestinationRefusedError

RESERVE_BYTES = 1 << 20
_PREFIX = "gc/reserve-"
_REFUSED_NS = 30 * 86_400 * 1_000_000_000

Result = TypeVar("Result")


def keep(place: Destination, marks: str, now_ns: int) -> None:
    """Write the reserve where there is none. What fails is no error: the reserve is a help, never a condition.

    marks: directory of this host's caches for the place; there it is remembered for a month that the store lets nobody
    create anything under gc/, as append-only logins must not.
    """
    mark = os.path.join(marks, "no-reserve")
    if _is_young(mark, now_ns):
        return
    try:
        if not _names(place):
            _write(place)
    except DestinationRefusedError:
        with suppress(OSError), open(mark, "wb") as file:
            os.utime(file.fileno(), ns=(now_ns, now_ns))
    except DestinationError:
        return


def prove(place: Destination) -> None:
    """Create and delete a small object under a name of the reserve's: then the store's traits are known for sure."""
    name = f"{_PREFIX}{os.urandom(16).hex()}"
    place.put(name, [b"0"])
    place.delete(name)


def give_up(place: Destination) -> None:
    """Delete the reserve: what frees space needs some to begin with."""
    for name in _names(place):
        place.delete(name)


def with_room(place: Destination, work: Callable[[], Result]) -> Result:
    """Do what frees space or ends work; on a full store once more with the reserve given up.

    work: may be done twice. Raises what it raises. The next run writes the reserve again, here it is tried at once.
    """
    try:
        return work()
    except DestinationFullError:
        if not _names(place):
            raise
        give_up(place)
    result = work()
    with suppress(DestinationError):
        _write(place)
    return result


def _write(place: Destination) -> None:
    # Random: some file systems shrink what they store.
    place.put(f"{_PREFIX}{os.urandom(16).hex()}", [os.urandom(RESERVE_BYTES)])


def _names(place: Destination) -> list[str]:
    return [info.name for info in place.list("gc/") if info.name.startswith(_PREFIX)]


def _is_young(mark: str, now_ns: int) -> bool:
    try:
        return 0 <= now_ns - os.stat(mark).st_mtime_ns < _REFUSED_NS
    except OSError:
        return False
