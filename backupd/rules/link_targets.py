"""Which symbolic links lead outside the sources, by their text alone; pure.

What a link leads to is not touched: it may lie on a server that is down, where each look would hang.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable


class Outside:
    """Tells of a link whether its text leads out of the sources, to what a backup could store."""

    def __init__(self, inside: Iterable[bytes], is_left_out: Callable[[bytes], bool]) -> None:
        """inside: sources, real and as they were named. is_left_out: what no backup takes, or what lies in such."""
        self._inside = tuple(sorted({path.rstrip(b"/") + b"/" for path in inside}))
        self._is_left_out = is_left_out

    def leads_out(self, directory: bytes, text: bytes) -> bool:
        """Whether a link in a directory leads outside. directory: absolute."""
        if b"/" not in text and text != b"..":
            # To something beside it, as most do.
            return False
        path = os.path.normpath(os.path.join(directory, text))
        if path.startswith(b"//"):
            path = path[1:]
        return not (path.rstrip(b"/") + b"/").startswith(self._inside) and not self._is_left_out(path)
