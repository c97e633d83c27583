"""Reading from stores that keep several copies of an object: one that is damaged is no loss while another is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backupd.destination.contract import Destination, another_copy
from backupd.errors import DamageError

Result = TypeVar("Result")


def of_any_copy(place: Destination, name: str, read: Callable[[], Result]) -> Result:
    """What `read` makes of an object; where it finds damage, of the next copy. Raises as `read` of the last one."""
    while True:
        try:
            return read()
        except DamageError:
            if not another_copy(place, name):
                raise
