"""Processes that outlive who started them come to this one, so that none of them stays unseen."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

from tests.support.running import children, is_there

_PR_SET_CHILD_SUBREAPER = 36


class Orphans:
    """What was handed to this process since the beginning."""

    def __init__(self) -> None:
        self._own = set(children(os.getpid()))

    def there(self, known: set[int]) -> list[int]:
        """Those that have not ended; those that have are buried. known: what this process started itself."""
        found = [one for one in children(os.getpid()) if one not in self._own | known]
        for one in found:
            with suppress(ChildProcessError):
                os.waitpid(one, os.WNOHANG)
        return [one for one in found if is_there(one)]


@contextmanager
def adopting() -> Generator[Orphans, None, None]:
    """Take orphans in while the block runs."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield Orphans()
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
