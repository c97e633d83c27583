"""How good a place of a chunk is, for who gives space free (DESIGN 8.3)."""

from __future__ import annotations

from enum import IntEnum


class Grade(IntEnum):
    """Of several copies the best one is needed, of equals the newest."""

    GOOD = 0
    LISTED = 1
    """In a list of candidates, so it may go if there is another copy."""
    DOUBTFUL = 2
    """A damage record names it. Reading still tries it."""
    LISTED_DOUBTFUL = 3
    GONE = 4
    """Not there, or given free for good."""
