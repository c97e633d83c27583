"""Deletes many objects, some at a time where the store allows it."""

from __future__ import annotations

from collections import deque
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
        self._coming: deque[Future[Deleted]] = deque()
        """Those that nobody was told of yet."""
        self._names = deque(names)
        if self._pool is not None:
            self._coming.extend(self._pool.submit(self._delete, name) for name in self._names)

    def ends(self) -> Iterator[Deleted]:
        """Each name as it comes to its end, in their order; when this is over nothing is under way. Once.

        Raises DestinationError, and what `check` raises, after it told of all that came to their ends all the same.
        """
        if self._pool is None:
            while self._names:
                yield self._delete(self._names.popleft())
            return
        try:
            while self._coming:
                one = self._coming.popleft()
                failed = one.exception()
                if failed is not None:
                    yield from self.stop()
                    raise failed
                yield one.result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def ended_by_now(self) -> list[Deleted]:
        """The next names that came to their ends already; `ends` does not tell of them again."""
        told: list[Deleted] = []
        while self._coming and self._coming[0].done() and self._coming[0].exception() is None:
            told.append(self._coming.popleft().result())
        return told

    @property
    def is_over(self) -> bool:
        """Whether all were told of."""
        return not (self._coming or (self._pool is None and self._names))

    def stop(self) -> list[Deleted]:
        """What was not begun is left; waits for what was. Gives what came to its end and was not told of."""
        self._names.clear()
        if self._pool is None:
            return []
        self._pool.shutdown(cancel_futures=True)
        told = [one.result() for one in self._coming if not one.cancelled() and one.exception() is None]
        self._coming.clear()
        return told

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
