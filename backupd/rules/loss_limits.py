"""How much a correction may give up as lost before somebody is asked (FEATURES 8.2); pure."""

from __future__ import annotations

MOST_FILES = 1000
MOST_BYTES = 512 << 20
MOST_PERCENT = 10
"""Of the files of the set."""


def is_beyond(files: int, size_bytes: int, of_files: int, *, has_unlisted: bool) -> bool:
    """Whether a loss is more than is given up without asking.

    files, size_bytes: of what is lost. of_files: how many the set has. has_unlisted: a directory whose entries can't be
    listed is among it; how many files it held nobody can say, so that is always asked.
    """
    is_large_share = files * 100 > of_files * MOST_PERCENT
    return has_unlisted or files > MOST_FILES or size_bytes > MOST_BYTES or (files > 0 and is_large_share)
