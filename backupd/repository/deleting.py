"""Deletes many objects, some at a time where the store allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from backupd.destination.contract import Destination
from backupd.store_errors import ObjectLockedError

_AT_ONCE = 8


def delete_each(
    place: Destination, names: Iterable[str], check: Callable[[], None]
) -> Iterator[tuple[str, ObjectLockedError | None]]:
    """Each name as it comes to its end, with what the store said where it retains the object.

    check: called before each, raises the stop that was asked for. Raises DestinationError.
    """

    def delete(name: str) -> tuple[str, ObjectLockedError | None]:
        check()
        try:
            place.delete(name)
        except ObjectLockedError as error:
            return name, error
        return name, None

    with ThreadPoolExecutor(_AT_ONCE if place.traits.parallel_calls else 1, "deleter") as pool:
        yield from pool.map(delete, names)
