"""How deep directories may lie in each other: a stored tree can be made as deep as one likes, and nobody's own is.

Whoever walks a tree holds every directory on the way open, and the path of each.
"""

from __future__ import annotations

MOST_LEVELS = 2048
MOST_PATH_BYTES = 64 << 10
TOO_DEEP = f"lies more than {MOST_LEVELS} directories deep, or its path has over {MOST_PATH_BYTES >> 10} KiB"


def is_too_deep(path: bytes) -> bool:
    """Whether a directory of that path is not entered any more."""
    return len(path) > MOST_PATH_BYTES or path.count(b"/") > MOST_LEVELS
