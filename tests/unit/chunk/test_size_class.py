"""If these fail, a growing file is cut by another class too early (stored again) or never (index too large)."""

from __future__ import annotations

import pytest

from backupd.chunk.size_class import INCOMPRESSIBLE_CLASS, average_bytes, choose_class, class_of_average
from backupd.errors import UsageError
from backupd.sizes import GIB, MIB


@pytest.mark.parametrize(
    ("size_bytes", "size_class"),
    [
        (0, 14),
        (256 * MIB, 14),
        (256 * MIB + 1, 15),
        (2 * GIB, 15),
        (2 * GIB + 1, 16),
        (64 * GIB, 16),
        (64 * GIB + 1, 18),
        (1 << 60, 18),
    ],
)
def test_first_sight(size_bytes: int, size_class: int) -> None:
    assert choose_class(size_bytes, False, None) == size_class
    assert choose_class(size_bytes, True, None) == INCOMPRESSIBLE_CLASS


@pytest.mark.parametrize(
    ("size_bytes", "previous", "size_class"),
    [
        (GIB, 14, 14),
        (GIB + 1, 14, 15),
        (64 * MIB, 15, 15),
        (64 * MIB - 1, 15, 14),
        (8 * GIB, 15, 15),
        (8 * GIB + 1, 15, 16),
        (16 * GIB, 18, 18),
        (16 * GIB - 1, 18, 16),
        (1 << 50, INCOMPRESSIBLE_CLASS, INCOMPRESSIBLE_CLASS),
        (MIB, 17, 14),
        (MIB, 16, 14),
    ],
)
def test_the_class_stays_until_a_border_is_crossed_fourfold(size_bytes: int, previous: int, size_class: int) -> None:
    assert choose_class(size_bytes, False, previous) == size_class


def test_a_kept_class_does_not_fall_for_samples() -> None:
    assert choose_class(GIB, True, 14) == 14


def test_the_users_choice_overrides() -> None:
    assert choose_class(GIB, True, 14, chosen_class=12) == 12


def test_chosen_sizes() -> None:
    assert average_bytes(class_of_average(64 << 10)) == 64 << 10
    for wrong in (0, 1000, 2 << 10, 8 << 20, 3 << 14):
        with pytest.raises(UsageError):
            class_of_average(wrong)
