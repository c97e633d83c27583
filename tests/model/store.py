"""A destination in memory, and the operations that actors ask of it: each is one step, everything between is not.

An actor is a generator that yields operations and is sent their results. Who drives it decides when each step is taken,
so every interleaving of several actors' steps can be had.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

Value = dict[str, Any]


@dataclass(frozen=True)
class Names:
    """Half of a listing: an object that comes or goes meanwhile may be in it or not."""

    prefix: str
    half: int


@dataclass(frozen=True)
class Get:
    """The value of an object, None where there is none."""

    name: str


@dataclass(frozen=True)
class Create:
    """Create if absent: True, False where it exists, None where the answer was lost on its way."""

    name: str
    value: Value


@dataclass(frozen=True)
class Delete:
    """An object that is not there is no error."""

    name: str


@dataclass(frozen=True)
class Wait:
    """Seconds of the actor's own clock."""

    seconds: float


Operation = Names | Get | Create | Delete | Wait
Steps = Generator[Operation, Any, Any]
BAD: Value = {"bad": True}
"""What stands in a block, or a record, whose bytes were lost."""


class UnreadableError(Exception):
    """An actor can't read what it would have to go by, and ends there."""


@dataclass
class Store:
    """Objects by name. Nothing is ever overwritten."""

    objects: dict[str, Value] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    void_since: dict[str, float] = field(default_factory=dict)
    """When the first drop record came that names a snapshot; for who judges."""
    dropped: set[str] = field(default_factory=set)
    """Names that were ever void: of some it is not known any more."""
    rotten: dict[str, Value] = field(default_factory=dict)
    """What stood in records whose bytes were lost, while they lie there."""
    lag_seconds: float = 0.0
    """How long a listing may leave out what is new."""

    def apply(self, step: Operation, now: float) -> Any:
        """Do one operation."""
        match step:
            case Names():
                return [
                    name
                    for name in sorted(self.objects)
                    if name.startswith(step.prefix)
                    and _half(name) == step.half
                    and self.born[name] + self.lag_seconds <= now
                ]
            case Get():
                return self.objects.get(step.name)
            case Create():
                if step.name in self.objects:
                    return False
                self.objects[step.name], self.born[step.name] = step.value, now
                if step.name.startswith("gc/drop-"):
                    self.void_since = dict.fromkeys(step.value["names"], now) | self.void_since
                    self.dropped |= self.void_since.keys()
                return True
            case Delete():
                self.objects.pop(step.name, None)
                if self.rotten.pop(step.name, {}).get("names"):
                    # Given up: what it alone said is not so any more.
                    said = dropped_names(self.below("gc/").items())
                    self.void_since = {name: since for name, since in self.void_since.items() if name in said}
                return None
            case Wait():
                return None

    def below(self, prefix: str) -> dict[str, Value]:
        """What truly is there, for who judges; of records what they said."""
        return {
            name: self.rotten.get(name, value) for name, value in self.objects.items() if name.startswith(prefix)
        }

    def rot(self, name: str) -> None:
        """A record's bytes are lost."""
        self.rotten.setdefault(name, self.objects[name])
        self.objects[name] = BAD


def listed(prefix: str) -> Steps:
    """Names below a prefix, in order."""
    first = yield Names(prefix, 0)
    second = yield Names(prefix, 1)
    return sorted([*first, *second])


def read_all(prefix: str) -> Steps:
    """Values by name; one that went away between listing and reading is left out."""
    found: dict[str, Value] = {}
    for name in (yield from listed(prefix)):
        value = yield Get(name)
        if value is not None:
            found[name] = value
    return found


def create(name: str, value: Value) -> Steps:
    """Create if absent; whether what stands there now is ours (DESIGN 8.5)."""
    is_made = yield Create(name, value)
    if is_made is None:
        is_made = yield Create(name, value)
    if not is_made:
        standing = yield Get(name)
        return standing == value
    return True


def _half(name: str) -> int:
    """Of two posts in a row one is in each half; of two gc lists in a row any may be in either."""
    data = name.encode()
    return (sum(data) + (sum(byte >> 1 for byte in data) if name.startswith("gc/") else 0)) % 2


def dropped_names(records: Iterable[tuple[str, Value]]) -> set[str]:
    """Names that drop records make void."""
    return {name for key, value in records if key.startswith("gc/drop-") for name in value["names"]}
