"""Tries again what a store refused for a moment (FEATURES 4.10), so that no plugin has to.

A call is tried again only where its error says so (`retryable`), with growing pauses of random length, after the time
that the store named if it named one. Two bounds end it: how long one call may fail on end, and how many tries all
calls together may cost beyond their first; what succeeds earns some of these back.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from backupd.cancel import Cancel
from backupd.clock import Clock, SystemClock
from backupd.destination.contract import Buffers, ForwardingStore, ObjectInfo, Store
from backupd.errors import DestinationError, ObjectExistsError
from backupd.store_errors import StoreAnswerError

Answer = TypeVar("Answer")
Told = Callable[[DestinationError, float], None]
"""Hears what failed, and that it is tried again after so many seconds; on any thread."""
_POLL_SECONDS = 0.5
_OPENING_SECONDS = 15.0
_MOST_LISTED = 4_000_000
"""Blocks of 128 TB, and memory of about a GiB."""
_ODD = "is it the store that it says it is? its server's log may tell"


class Patience(msgspec.Struct, frozen=True):
    """How long a store is given."""

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    call_seconds: float = 300.0
    """A call that goes on failing so long is given up."""
    budget: float = 200.0
    """Tries beyond the first of all calls of one opening."""
    earned: float = 0.5
    """What each success gives back to the budget."""


class Retrying(ForwardingStore):
    """The same store, more patient."""

    @classmethod
    def open(
        cls, opener: Callable[[], Store], cancel: Cancel | None, patience: Patience, told: Told | None = None
    ) -> Retrying:
        """Open a store, trying again for a short while alone: who waits for the first answer wants to know soon."""
        brief = msgspec.structs.replace(patience, call_seconds=min(_OPENING_SECONDS, patience.call_seconds))
        return cls(_Tries(cancel, brief, told=told).patiently(opener), cancel, patience, told=told)

    def __init__(
        self,
        inner: Store,
        cancel: Cancel | None = None,
        patience: Patience | None = None,
        clock: Clock | None = None,
        wait: Callable[[float], object] | None = None,
        told: Told | None = None,
    ) -> None:
        """cancel: ends a pause. wait: what to do for a pause of so many seconds. told: hears of each pause."""
        super().__init__(inner)
        self._tries = _Tries(cancel, patience or Patience(), clock, wait, told)
        self._patiently = self._tries.patiently

    @property
    def retries(self) -> int:
        """Tries beyond the first so far."""
        return self._tries.count

    def put(self, name: str, buffers: Buffers) -> None:
        """Create; where a try before may have done it unheard, an object of the same bytes is ours (DESIGN 8.5)."""
        is_again = False

        def once() -> None:
            nonlocal is_again
            is_first, is_again = not is_again, True
            try:
                self._inner.put(name, buffers)
            except ObjectExistsError:
                if is_first or not self._holds(name, buffers):
                    raise

        self._patiently(once)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read. More than was asked for is no answer of any store, and is not passed on."""

        def once() -> bytes:
            data = self._inner.get(name, offset, length)
            if length is not None and len(data) > length:
                raise StoreAnswerError(
                    f"{self.shown}: {len(data)} bytes of {name} came where {length} were asked for", hint=_ODD
                )
            return data

        return self._patiently(once)

    def size(self, name: str) -> int | None:
        """Measure."""
        return self._patiently(lambda: self._inner.size(name))

    def top_names(self) -> list[str]:
        """Names at the top."""
        return self._patiently(self._inner.top_names)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List; all at once, for a listing that breaks off is asked for anew. One without end is given up."""

        def once() -> tuple[ObjectInfo, ...]:
            found = tuple(itertools.islice(self._inner.list(prefix), _MOST_LISTED + 1))
            if len(found) > _MOST_LISTED:
                raise StoreAnswerError(f"{self.shown} lists over {_MOST_LISTED:,} objects in {prefix}", hint=_ODD)
            return found

        yield from self._patiently(once)

    def delete(self, name: str) -> None:
        """Remove."""
        self._patiently(lambda: self._inner.delete(name))

    def locked_until(self, name: str) -> int | None:
        """Ask for a lock."""
        return self._patiently(lambda: super(Retrying, self).locked_until(name))

    def lock(self, name: str, until_ns: int) -> None:
        """Lock; twice does no harm."""
        self._patiently(lambda: super(Retrying, self).lock(name, until_ns))

    def free_bytes(self) -> int | None:
        """Space left."""
        return self._patiently(self._inner.free_bytes)

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove a dead writer's."""
        return self._patiently(lambda: self._inner.remove_temporaries(folder, tag))

    def remove_empty_folders(self, name: str) -> None:
        """Remove empty folders."""
        self._patiently(lambda: self._inner.remove_empty_folders(name))

    def _holds(self, name: str, buffers: Buffers) -> bool:
        data = b"".join(buffers)
        return self._inner.size(name) == len(data) and self._inner.get(name, 0, len(data) + 1) == data


class _Tries:
    """The patience of one opening: what all its calls together may cost."""

    def __init__(
        self,
        cancel: Cancel | None,
        patience: Patience,
        clock: Clock | None = None,
        wait: Callable[[float], object] | None = None,
        told: Told | None = None,
    ) -> None:
        self._cancel, self._patience, self._told = cancel, patience, told
        self._clock, self._wait = clock or SystemClock(), wait or threading.Event().wait
        self._lock = threading.Lock()
        self._left = patience.budget
        self.count = 0

    def patiently(self, call: Callable[[], Answer]) -> Answer:
        """Do it, again and again while that may help. Raises what it raises in the end."""
        failing_since: float | None = None
        pause = self._patience.first_pause_seconds
        while True:
            try:
                answer = call()
            except DestinationError as error:
                if not error.retryable or not self._may_try_again():
                    raise
                named = error.context.get("retry_after_seconds")
                seconds = random.uniform(pause / 2, pause)  # noqa: S311 (no secret hangs on it)
                if isinstance(named, int | float) and named > 0:
                    seconds = max(seconds, float(named))
                # From the first failure on: a block over a slow line may take longer than all patience.
                now = self._clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                if now - failing_since + seconds > self._patience.call_seconds:
                    raise
                if self._told is not None:
                    self._told(error, seconds)
                self._pause(seconds)
                pause = min(pause * 2, self._patience.longest_pause_seconds)
            else:
                with self._lock:
                    self._left = min(self._patience.budget, self._left + self._patience.earned)
                return answer

    def _may_try_again(self) -> bool:
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            self.count += 1
        return True

    def _pause(self, seconds: float) -> None:
        """Wait, looking at the cancel flag meanwhile."""
        while seconds > 0:
            if self._cancel is not None:
                self._cancel.check()
            self._wait(min(seconds, _POLL_SECONDS))
            seconds -= _POLL_SECONDS
