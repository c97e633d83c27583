"""What is given up as lost without asking: the limits of a correction (FEATURES 8.2)."""

from __future__ import annotations

import pytest

from backupd.rules.loss_limits import MOST_BYTES, MOST_FILES, is_beyond


@pytest.mark.parametrize(
    ("files", "size_bytes", "of_files", "has_unlisted", "expected"),
    [
        (0, 0, 0, False, False),
        (1, 10, 10, False, False),
        (2, 10, 10, False, True),
        (1, 10, 9, False, True),
        (MOST_FILES, 10, 20_000, False, False),
        (MOST_FILES + 1, 10, 2_000_000, False, True),
        (5, MOST_BYTES, 1000, False, False),
        (5, MOST_BYTES + 1, 1000, False, True),
        (1, 1, 0, False, True),
        (0, 0, 1000, True, True),
    ],
)
def test_limits(files: int, size_bytes: int, of_files: int, has_unlisted: bool, expected: bool) -> None:
    """One too low, and every bad sector waits for a hand; one too high, and a whole disk is given up at night."""
    assert is_beyond(files, size_bytes, of_files, has_unlisted=has_unlisted) is expected
