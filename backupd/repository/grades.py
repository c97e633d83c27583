"""How good a place of a chunk is, for who gives space free (DESIGN 8.3)."""

from __future__ import annotations

from enum import IntEnum


class Grade(IntEnum):
    """Of several copies the best one is needed, of equals the newest."""

    GOOD = 0
    RETIRED = 1
    """Whole, but stored anew elsewhere: nobody is to need it where that other copy is good."""
    LISTED = 2
    """In a list of candidates, so it may go if there is another copy."""
    DOUBTFUL = 3
    """A damage record names it. Reading still tries it."""
    LISTED_DOUBTFUL = 4
    GONE = 5
    """Not there, or given free for good."""
