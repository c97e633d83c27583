"""Reading from stores that keep several copies of an object: one that is damaged is no loss while another is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from backupd.destination.contract import Copy, Destination, Forwarding
from backupd.errors import DamageError, DestinationError, NewerVersionError

Result = TypeVar("Result")


class Source(Protocol):
    """Where bytes of objects come from: a destination, or one copy."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """As of a destination."""
        ...


def of_any_copy(place: Destination, name: str, read: Callable[[Source], Result]) -> Result:
    """What `read` makes of an object; where it finds damage, of each copy by itself. Raises as `read` of the first.

    A version that nobody knows may be a damaged byte, too.
    """
    try:
        return read(place)
    except (DamageError, NewerVersionError) as error:
        found = first_good(place, name, read)
        if found is None:
            raise error
        return found[0]


def first_good(place: Destination, name: str, read: Callable[[Source], Result]) -> tuple[Result] | None:
    """What `read` makes of the first copy that it does not find damaged; None where there is none."""
    bad: list[str] = []
    for copy in copies_of(place, name):
        try:
            result = read(copy)
        except (DamageError, NewerVersionError):
            bad.append(copy.where)
        except DestinationError:
            continue
        else:
            Forwarding(place).note_damage(name, bad, copy.where)
            return (result,)
    return None


def copies_of(place: Destination, name: str) -> list[Copy]:
    """Of an object, where the place keeps more than one of it."""
    found = [*Forwarding(place).copies(name)]
    return found if len(found) > 1 else []


def distinct(place: Destination, name: str) -> list[bytes]:
    """The bytes of a small object, each that some copy has once; of a store with one copy none."""
    found: dict[bytes, None] = {}
    for copy in copies_of(place, name):
        try:
            found[copy.get(name)] = None
        except DestinationError:
            continue
    return [*found]
