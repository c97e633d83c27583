"""How good a place of a chunk is, for who gives space free (DESIGN 8.3)."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

import msgspec

from backupd.repository.bad_places import BadPlaces


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


class Grading(msgspec.Struct, frozen=True):
    """What the grades of places follow from."""

    blocks: Collection[bytes]
    """That lie there."""
    deleted: Collection[bytes]
    """That closed gc lists name."""
    absent: Collection[bytes]
    """That closed or open ones name."""
    bad: BadPlaces
    misshapen: Collection[bytes]
    """Blocks that are not as long as the index says."""
    retired: Collection[bytes]

    def grade(self, block_id: bytes, chunk_id: bytes) -> Grade:
        """How good a place is."""
        if block_id not in self.blocks or block_id in self.deleted:
            return Grade.GONE
        is_whole = block_id not in self.bad.blocks and block_id not in self.misshapen
        is_bad = not is_whole or chunk_id in self.bad.chunks.get(block_id, ())
        if block_id in self.absent:
            return Grade.LISTED_DOUBTFUL if is_bad else Grade.LISTED
        if is_bad:
            return Grade.DOUBTFUL
        return Grade.RETIRED if block_id in self.retired else Grade.GOOD
