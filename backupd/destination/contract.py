"""What a destination plugin promises; the whole of what the rest of the program knows about stores.

Names are relative, of lower-case letters, digits, `-`, `.` and `/`. An object is whole from the moment its name
exists, is never changed, and is on stable storage when `put` returns. Every error is of the DestinationError family:
a plugin translates what its vendor raises. Calls are safe from several threads where `traits.parallel_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from backupd.cancel import Cancel
from backupd.destination.meter import Meter
from backupd.destination.pacing import Pace
from backupd.model.store_access import NO_ACCESS, StoreAccess

Buffers = Sequence[bytes | memoryview]


class Traits(msgspec.Struct, frozen=True):
    """What a store can do."""

    create_if_absent: bool
    """Of several creators of one name exactly one succeeds, on this host and between hosts."""
    parallel_calls: bool
    reports_space: bool


class Keeping(msgspec.Struct, frozen=True):
    """What a store keeps of objects that are deleted or overwritten; None: it does not tell."""

    versions: bool | None = None
    """Earlier versions."""
    locks: bool | None = None
    """Objects can be locked for a time, against everybody."""


class LockRule(msgspec.Struct, frozen=True):
    """How new objects are locked, and those that are relied on again (DESIGN 8.6)."""

    mode: Literal["governance", "compliance"]
    """Whether somebody with a right of its own may lift a lock, or nobody at all."""
    days: int
    """At least 1."""


class Uncovered(msgspec.Struct, frozen=True):
    """An object of which the first version was not what a reader got."""

    name: str
    how: Literal["hidden", "overwritten"]
    size_bytes: int
    """Of the first version."""


class ObjectInfo(msgspec.Struct, frozen=True):
    """One listed object."""

    name: str
    size_bytes: int


class Destination(Protocol):
    """One place. Opened by its constructor, closed by `close`."""

    @property
    def traits(self) -> Traits:
        """What the store can do. Whether it creates only if absent may be found out by the first put: till then, no."""
        ...

    @property
    def shown(self) -> str:
        """The place as people wrote it, without secrets."""
        ...

    def put(self, name: str, buffers: Buffers) -> None:
        """Create an object of these bytes if nothing has that name.

        Raises ObjectExistsError when something has; DestinationFullError; DestinationError.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes from `offset`, `length` of them or fewer at the object's end; None: to the end.

        Raises ObjectMissingError.
        """
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object, None when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose names begin with `prefix` (ending in `/`, or empty), at any depth, in any order."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is gone is no error."""
        ...

    def free_bytes(self) -> int | None:
        """Space left, None where the store doesn't say."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class Store(Destination, Protocol):
    """A whole place, as it is opened: what only who looks after it needs."""

    @property
    def may_leave_temporaries(self) -> bool:
        """Known once it is closed: whether the place failed, so that temporary names may come back with it."""
        ...

    def top_names(self) -> list[str]:
        """Names of folders and objects at the top, sorted, whoever made them.

        Raises DestinationUnreachableError when the place is not there.
        """
        ...

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left for `folder` under names of its own; returns how many."""
        ...

    def remove_empty_folders(self, name: str) -> None:
        """Remove the empty folders right below one, where a store has folders that outlive their objects."""
        ...


class Copy(Protocol):
    """One copy of an object, at one member of a store that keeps several."""

    @property
    def where(self) -> str:
        """The member's name."""
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """As of a destination; only of that copy."""
        ...


@runtime_checkable
class TellsKeeping(Protocol):
    """What a store has besides that can be asked what it keeps."""

    def keeping(self) -> Keeping:
        """As it is set up now."""
        ...


@runtime_checkable
class LocksObjects(Protocol):
    """What a store has besides that can hold objects against everybody, its owner too, until a day.

    Deleting a locked object raises ObjectLockedError.
    """

    @property
    def lock_rule(self) -> LockRule | None:
        """How this opening locks what it creates; None: not at all."""
        ...

    def locked_until(self, name: str) -> int | None:
        """Nanoseconds since 1970, perhaps gone by; None: it is not locked, or the login may not know.

        Raises ObjectMissingError, DestinationError.
        """
        ...

    def lock(self, name: str, until_ns: int) -> None:
        """Have it locked until then at least, by the rule's mode. Raises ObjectMissingError, DestinationError."""
        ...


@runtime_checkable
class KeepsVersions(Protocol):
    """What a store has besides that can keep what was deleted or overwritten."""

    def uncover(self, *, is_dry: bool) -> Iterator[Uncovered]:
        """Bring back the first version of each object, as it comes; is_dry: only say of which. Deletes no byte.

        Raises DestinationError; what was brought back by then stays so.
        """
        ...


@runtime_checkable
class SettlesDeletions(Protocol):
    """What a store has besides whose deletions may be undone by a power cut."""

    def settle_deletions(self, folder: str) -> None:
        """What was deleted below a folder until now stays deleted, whatever happens from here on."""
        ...


@runtime_checkable
class KeepsCopies(Protocol):
    """What a store has besides that keeps more than one copy of an object."""

    def copies(self, name: str) -> Sequence[Copy]:
        """Each copy that can be asked, in the order in which `get` tries them."""
        ...

    def note_damage(self, name: str, bad: Sequence[str], good: str) -> None:
        """Copies of these members were found damaged, that of another one is whole."""
        ...

    def damaged_copies(self) -> Sequence[tuple[str, str]]:
        """(member, name) of all that were noted by this process."""
        ...


class Forwarding:
    """A destination around another one: what a wrapper does not define is the inner one's.

    What only some stores have is there, too, and empty where the inner one has it not.
    """

    def __init__(self, inner: Destination) -> None:
        self._inner = inner

    @property
    def traits(self) -> Traits:
        """As of the inner one."""
        return self._inner.traits

    @property
    def shown(self) -> str:
        """As of the inner one."""
        return self._inner.shown

    def free_bytes(self) -> int | None:
        """As of the inner one."""
        return self._inner.free_bytes()

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()

    def keeping(self) -> Keeping:
        """As of TellsKeeping."""
        return self._inner.keeping() if isinstance(self._inner, TellsKeeping) else Keeping()

    def uncover(self, *, is_dry: bool) -> Iterator[Uncovered]:
        """As of KeepsVersions."""
        return self._inner.uncover(is_dry=is_dry) if isinstance(self._inner, KeepsVersions) else iter(())

    @property
    def lock_rule(self) -> LockRule | None:
        """As of LocksObjects."""
        return self._inner.lock_rule if isinstance(self._inner, LocksObjects) else None

    def locked_until(self, name: str) -> int | None:
        """As of LocksObjects."""
        return self._inner.locked_until(name) if isinstance(self._inner, LocksObjects) else None

    def lock(self, name: str, until_ns: int) -> None:
        """As of LocksObjects."""
        if isinstance(self._inner, LocksObjects):
            self._inner.lock(name, until_ns)

    def copies(self, name: str) -> Sequence[Copy]:
        """As of KeepsCopies."""
        return self._inner.copies(name) if isinstance(self._inner, KeepsCopies) else ()

    def note_damage(self, name: str, bad: Sequence[str], good: str) -> None:
        """As of KeepsCopies."""
        if isinstance(self._inner, KeepsCopies):
            self._inner.note_damage(name, bad, good)

    def damaged_copies(self) -> Sequence[tuple[str, str]]:
        """As of KeepsCopies."""
        return self._inner.damaged_copies() if isinstance(self._inner, KeepsCopies) else ()


class ForwardingStore(Forwarding):
    """The same around a whole place."""

    _inner: Store

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)

    @property
    def may_leave_temporaries(self) -> bool:
        """As of the inner one."""
        return self._inner.may_leave_temporaries

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """As of the inner one."""
        return self._inner.remove_temporaries(folder, tag)

    def remove_empty_folders(self, name: str) -> None:
        """As of the inner one."""
        self._inner.remove_empty_folders(name)

    def settle_deletions(self, folder: str) -> None:
        """As of SettlesDeletions."""
        if isinstance(self._inner, SettlesDeletions):
            self._inner.settle_deletions(folder)


class _CopyBelow:
    """A copy seen from a folder."""

    def __init__(self, inner: Copy, folder: str) -> None:
        self._inner, self._folder = inner, folder
        self.where = inner.where

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(self._folder + name, offset, length)


class Opening(msgspec.Struct, frozen=True):
    """How a store is opened."""

    place: str
    """As people wrote it, without secrets."""
    tag: str
    """Begins the temporary names of this writer; letters, digits and `-`."""
    access: StoreAccess = NO_ACCESS
    create: bool = False
    """Make the folder where what holds it exists."""
    pace: Pace | None = None
    """Is asked before bytes of objects are sent or read; None: never any limit."""
    warn: Callable[[str], None] | None = None
    """Hears what the user should know of although it ends nothing; on any thread."""
    cancel: Cancel | None = None
    """Ends the pauses of stores that this one opens itself."""
    meter: Meter | None = None
    """Counts what such stores are asked for; this one's own calls are counted by who opens it."""


class Below(Forwarding):
    """A destination seen from one of its folders: the same type, every name with a prefix."""

    def __init__(self, inner: Destination, folder: str) -> None:
        super().__init__(inner)
        self._folder = folder + "/"

    def put(self, name: str, buffers: Buffers) -> None:
        """Create an object below the folder."""
        self._inner.put(self._folder + name, buffers)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read an object below the folder."""
        return self._inner.get(self._folder + name, offset, length)

    def locked_until(self, name: str) -> int | None:
        """Of an object below the folder."""
        return super().locked_until(self._folder + name)

    def lock(self, name: str, until_ns: int) -> None:
        """Lock an object below the folder."""
        super().lock(self._folder + name, until_ns)

    def copies(self, name: str) -> Sequence[Copy]:
        """Of an object below the folder."""
        return [_CopyBelow(copy, self._folder) for copy in super().copies(self._folder + name)]

    def note_damage(self, name: str, bad: Sequence[str], good: str) -> None:
        """Of an object below the folder."""
        super().note_damage(self._folder + name, bad, good)

    def size(self, name: str) -> int | None:
        """Measure an object below the folder."""
        return self._inner.size(self._folder + name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List below the folder; names come without it."""
        for info in self._inner.list(self._folder + prefix):
            yield ObjectInfo(info.name[len(self._folder) :], info.size_bytes)

    def delete(self, name: str) -> None:
        """Remove an object below the folder."""
        self._inner.delete(self._folder + name)
