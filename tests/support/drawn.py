"""How many examples a property is tried with: few at every change, more by night."""

from __future__ import annotations

_by_night: list[bool] = []


def tell(*, is_night: bool) -> None:
    """Which tests these are; before any file of them is loaded."""
    _by_night[:] = [is_night]


def drawn(few: int, *, by_night: int) -> int:
    """For `max_examples`."""
    return by_night if any(_by_night) else few
