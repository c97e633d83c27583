"""What was made of what: so that files and directories that many snapshots share are read and cut once."""

from __future__ import annotations

from typing import Generic, TypeVar

Value = TypeVar("Value")
_ENTRY_BYTES = 250
"""About what one takes besides what it holds."""


class Known(Generic[Value]):
    """Grows up to a bound, then takes no more: each snapshot asks in the same order, so the eldest would go too early.

    What was added for a snapshot counts in its own right once that one stands, and goes where it does not.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes, self._fresh_bytes = most_bytes, 0, 0
        self._kept: dict[bytes, Value] = {}
        self._fresh: dict[bytes, Value] = {}

    def get(self, key: bytes) -> Value | None:
        """What is known under a key of 32 bytes."""
        found = self._fresh.get(key)
        return found if found is not None else self._kept.get(key)

    def add(self, key: bytes, value: Value, size_bytes: int) -> None:
        """Remember it for this snapshot. size_bytes: of the value, about."""
        cost = _ENTRY_BYTES + size_bytes
        if self._bytes + self._fresh_bytes + cost <= self._most_bytes and self.get(key) is None:
            self._fresh[key] = value
            self._fresh_bytes += cost

    def keep(self) -> None:
        """The snapshot stands."""
        self._kept |= self._fresh
        self._bytes += self._fresh_bytes
        self.undo()

    def undo(self) -> None:
        """The snapshot does not stand."""
        self._fresh, self._fresh_bytes = {}, 0

    def clear(self) -> None:
        """Nothing of it is sure any more."""
        self._kept, self._bytes = {}, 0
        self.undo()
