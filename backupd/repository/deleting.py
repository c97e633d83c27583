"""Deletes many objects, some at a time where the store allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from backupd.destination.contract import Destination
from backupd.store_errors import ObjectLockedError

_AT_ONCE = 8

Deleted = tuple[str, ObjectLockedError | None]
"""A name that was deleted, or that the store retains, with what it said then."""


class Deletions:
    """Objects that other threads delete while the caller goes on; until `end` or `stop` nothing says that they went.

    Where the store does not take several calls at a time they are deleted as the caller asks for their ends.
    """

    def __init__(self, place: Destination, names: Iterable[str], check: Callable[[], None]) -> None:
        """check: called before each, raises the stop that was asked for."""
        self._place, self._check = place, check
        self._pool = ThreadPoolExecutor(_AT_ONCE, "deleter") if place.traits.parallel_calls else None
        self._coming: list[Future[Deleted]] = []
        self._names: Iterable[str] = names
        if self._pool is not None:
            self._coming = [self._pool.submit(self._delete, name) for name in names]

    def ends(self) -> Iterator[Deleted]:
        """Each name as it comes to its end, in their order; when this is over nothing is under way. Once.

        Raises DestinationError, and what `check` raises.
        """
        if self._pool is None:
            yield from map(self._delete, self._names)
            return
        try:
            for one in self._coming:
                yield one.result()
        finally:
            self.stop()

    def stop(self) -> None:
        """What was not begun is left; waits for what was."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _delete(self, name: str) -> Deleted:
        self._check()
        try:
            self._place.delete(name)
        except ObjectLockedError as error:
            return name, error
        return name, None


def delete_each(place: Destination, names: Iterable[str], check: Callable[[], None]) -> Iterator[Deleted]:
    """Each name as it comes to its end, with what the store said where it retains the object.

    check: called before each, raises the stop that was asked for. Raises DestinationError.
    """
    yield from Deletions(place, names, check).ends()
