"""Which member's copy of an object was found damaged by who read it: another one's is read from then on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

_MOST_NAMES = 100_000


class DamagedCopies:
    """Known to this process only: what is damaged is told, and stored anew by whoever has the source."""

    def __init__(self) -> None:
        self._members: dict[str, set[int]] = {}
        self._lock = threading.Lock()
        self._mine = threading.local()

    def gave(self, name: str, member: int) -> None:
        """Note whose copy this thread read last: another thread may know of its damage first."""
        self._mine.last = (name, member)

    def last(self, name: str, numbers: list[int]) -> list[int]:
        """The same members, those with damaged copies at the end."""
        bad = self._members.get(name)
        return sorted(numbers, key=bad.__contains__) if bad else numbers

    def pass_over(self, name: str, having: Sequence[int]) -> tuple[int | None, int | None]:
        """(the member whose copy is found damaged now, the one that is read next).

        None: it was known, or read by another thread; None: no copy is left that may be good. having: the members that
        have the object, in the order in which they are read.
        """
        read, member = getattr(self._mine, "last", ("", None))
        with self._lock:
            if name not in self._members and len(self._members) >= _MOST_NAMES:
                self._members.clear()
            bad = self._members.setdefault(name, set())
            found = member if read == name else having[0] if having and not bad else None
            if found in bad:
                found = None
            if found is not None:
                bad.add(found)
            return found, next((number for number in having if number not in bad), None)
