"""One member of a pool: its store, opened when first needed, and whether it is well just now.

A member that can't be reached is left alone for a minute, so that a dead one costs some seconds once, not at each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from backupd.clock import Clock
from backupd.destination.contract import Buffers, ObjectInfo, SettlesDeletions, Store
from backupd.destination.pool import marks
from backupd.destination.pool.marks import Marks
from backupd.destination.pool.policy import Answer
from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
    StoppedError,
)
from backupd.model.places import is_url
from backupd.model.store_access import PoolMember
from backupd.store_errors import (
    NameTooLongError,
    NotAMemberError,
    ObjectLockedError,
    ReadOnlyStoreError,
    StoreDoorError,
)

Result = TypeVar("Result")
Warn = Callable[[str], None]
OpenIt = Callable[[bool], Store]
"""Takes whether the folder may be made."""

AWAY_SECONDS = 60.0
_STRIKES = 3
_TAKES_NOTHING = (DestinationFullError, DestinationRefusedError, ReadOnlyStoreError, NameTooLongError)


class Member:
    """One member. Calls are safe from several threads."""

    def __init__(self, described: PoolMember, pool_id: str, open_it: OpenIt, clock: Clock, warn: Warn) -> None:
        self.described, self._pool_id, self._clock, self._warn = described, pool_id, clock, warn
        self._open_it = open_it
        self._mark = marks.member_mark(pool_id, described.id)
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._away: DestinationError | None = None
        self._away_until = self._full_until = 0.0
        self._full: DestinationError | None = None
        self._strikes = 0
        self._is_local = not is_url(described.place)
        self._is_looked_at = False
        self.marks = Marks()
        """Known once it was reached."""

    @property
    def name(self) -> str:
        """Of the destination."""
        return self.described.name

    @property
    def where(self) -> str:
        """As of a copy."""
        return self.name

    @property
    def error(self) -> DestinationError | None:
        """Why it takes no part just now; None where it does, or nobody has asked it yet."""
        return self._away if self._is_away() else None

    def is_usable(self) -> bool:
        """Whether it is worth a call; opens it where that was not done."""
        if self._is_away():
            return False
        try:
            self.call(lambda store: None)
        except DestinationError:
            return False
        return True

    def call(self, work: Callable[[Store], Result], *, writes: bool = False) -> Result:
        """Have its store do something. Raises DestinationError, always with the member's name in it."""
        if self._is_away() and self._away is not None:
            raise self.told(self._away)
        if writes and self._full is not None and self._clock.monotonic() < self._full_until:
            raise self.told(self._full)
        try:
            store = self._opened()
            if writes and self._is_local:
                self._look_for_mark(store)
            result = work(store)
        except ObjectMissingError:
            self.confirm_absence()
            raise
        except ObjectExistsError:
            raise
        except DestinationError as error:
            self._note(error, writes=writes)
            raise self.told(error) from error
        self._strikes = 0
        if writes:
            self._full = None
        return result

    def confirm_absence(self) -> None:
        """Before what a directory lacks counts as absent: is it still the member's, or is its disk gone?

        Raises DestinationUnreachableError.
        """
        store = self._store
        if store is None or not self._is_local:
            return
        try:
            self._look_for_mark(store)
        except DestinationError as error:
            self._note(error, writes=False)
            raise self.told(error) from error

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read. Raises ObjectMissingError, DestinationError."""
        return self.call(lambda store: store.get(name, offset, length))

    def size(self, name: str) -> int | None:
        """Measure; None where it is sure that there is none."""
        found = self.call(lambda store: store.size(name))
        if found is None:
            self.confirm_absence()
        return found

    def has(self, name: str) -> bool:
        """Whether it can be asked and has such an object."""
        try:
            return self.call(lambda store: store.size(name)) is not None
        except DestinationError:
            return False

    def listed(self, prefix: str) -> list[ObjectInfo]:
        """List."""
        found = self.call(lambda store: [*store.list(prefix)])
        self.confirm_absence()
        return found

    def put(self, name: str, buffers: Buffers) -> None:
        """Create. Raises ObjectExistsError, DestinationError."""
        try:
            self.call(lambda store: store.put(name, buffers), writes=True)
        except ObjectMissingError as error:
            # A directory was taken away under it.
            raise self.told(DestinationUnreachableError(error.message, hint="is the disk mounted?")) from error

    def settle_deletions(self, folder: str) -> None:
        """As of SettlesDeletions, where its store does that. Raises DestinationError."""

        def settle(store: Store) -> None:
            if isinstance(store, SettlesDeletions):
                store.settle_deletions(folder)

        self.call(settle)

    def holds(self, name: str, buffers: Buffers) -> Answer:
        """Whether these bytes stand under a name."""
        try:
            size = sum(map(len, buffers))
            is_same = self.size(name) == size and self.get(name, 0, size + 1) == b"".join(buffers)
        except DestinationError:
            return "failed"
        return "yes" if is_same else "no"

    def told(self, error: DestinationError) -> DestinationError:
        """An error of its store, with its name."""
        if error.context.get("member") == self.name:
            return error
        context = {**error.context, "member": self.name}
        return type(error)(f"{self.name}: {error.message}", hint=error.hint, context=context)

    def begin(self, *, create: bool) -> Store:
        """Open it although it has no mark; `create`: make its folder where needed. Raises DestinationError."""
        with self._opening:
            if self._store is None or self._is_local:
                try:
                    self._store = self._opened_as_it_is(create=create)
                except DestinationError as error:
                    raise self.told(error) from error
            self.marks = marks.read(self._store)
            return self._store

    def has_begun(self) -> None:
        """It has its marks now."""
        with self._opening:
            self._away, self._is_looked_at = None, False

    def close(self) -> bool:
        """Close it; whether it may have left temporary names."""
        store = self._store
        if store is None:
            return False
        store.close()
        return store.may_leave_temporaries

    def _is_away(self) -> bool:
        return self._away is not None and self._clock.monotonic() < self._away_until

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None or (self._away is not None and self._is_local):
                self._store = self._opened_as_it_is(create=False)
                self._is_looked_at = False
            if self._away is not None or not self._is_looked_at:
                # Also one that comes back is looked at again: another disk may be in its place.
                self.marks = marks.read(self._store)
                if not self.marks.is_member(self._pool_id, self.described.id):
                    raise self._no_member(self._store)
                self._away, self._is_looked_at = None, True
            return self._store

    def _opened_as_it_is(self, *, create: bool) -> Store:
        try:
            return self._open_it(create)
        except DestinationUnreachableError as error:
            if not self._is_local:
                raise
            # Waiting does not mount a disk.
            raise NotAMemberError(error.message, hint=error.hint, context={"absent": True}) from error
        except (DestinationError, StoppedError):
            raise
        except BackupError as error:
            # A wrong address, or a host key that nobody vouched for: of this member alone.
            raise DestinationRefusedError(error.message, hint=error.hint, context=error.context) from error

    def _look_for_mark(self, store: Store) -> None:
        if store.size(self._mark) is None:
            raise self._no_member(store)

    def _no_member(self, store: Store) -> NotAMemberError:
        return NotAMemberError(
            f"{store.shown} lacks the mark of this pool and takes no part",
            hint="is the right disk mounted? Where it is new or was emptied: bkctl destination heal POOL",
        )

    def _note(self, error: DestinationError, *, writes: bool) -> None:
        now = self._clock.monotonic()
        if isinstance(error, StoreDoorError | DestinationUnreachableError):
            self._away, self._away_until = error, now + AWAY_SECONDS
        elif isinstance(error, ObjectLockedError):
            # It answers as it should: what is locked stays.
            self._strikes = 0
            return
        elif writes and isinstance(error, _TAKES_NOTHING):
            self._full, self._full_until = error, now + AWAY_SECONDS
        else:
            self._strikes += 1
            if self._strikes >= _STRIKES or self._store is None:
                self._away, self._away_until = error, now + AWAY_SECONDS
        self._warn(self.told(error).message)

