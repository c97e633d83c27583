"""Which destinations of a set are stored to from one reading of the sources."""

from __future__ import annotations

from typing import Literal

import pytest

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.grouping import groups
from backupd.model.sets import DestinationText, SetText


@pytest.mark.parametrize(
    ("mode", "most", "count", "is_dry", "sizes"),
    [
        ("sequential", None, 3, False, [1, 1, 1]),
        ("concurrent", None, 3, False, [3]),
        ("concurrent", 2, 3, False, [2, 1]),
        ("concurrent", 2, 4, False, [2, 2]),
        ("concurrent", 8, 1, False, [1]),
        ("concurrent", None, 9, False, [8, 1]),
        ("concurrent", None, 3, True, [1, 1, 1]),
        ("concurrent", None, 0, False, []),
    ],
)
def test_all_get_the_run_in_the_sets_order_and_so_many_at_once(
    mode: Literal["sequential", "concurrent"], most: int | None, count: int, is_dry: bool, sizes: list[int]
) -> None:
    """Else `max_concurrent` spares no line and no disk, or leaves a destination out."""
    names = [f"n{number}" for number in range(count)]
    text = SetText(name="docs", sources=["/home"], to=names, mode=mode, max_concurrent=most)
    all_of_them = [
        StoredDestination(id=f"d-{name}", text=DestinationText(name=name, place=f"/{name}"), file=None, created_ns=0)
        for name in names
    ]
    found = list(groups(text, all_of_them, is_dry=is_dry))
    assert [len(one) for one in found] == sizes
    assert [destination for one in found for destination in one] == all_of_them
