"""backupd: deduplicating, encrypted backup; see docs/ARCHITECTURE.md for the map."""

from __future__ import annotations

import gc
import sys
import typing
from collections.abc import Generator
from contextlib import contextmanager

__version__ = "0.1.0"

# At the default of 700 new objects a tenth of each start, and of each walk later, are collections that find nothing.
gc.set_threshold(50_000, 20, 20)


@contextmanager
def plain_typing() -> Generator[None, None, None]:
    """A library imported in the block finds `typing` where it asks for `typing_extensions`.

    For those that want nothing of it but what `typing` has since Python 3.11: together with `inspect`, which comes with
    it, it is a tenth of what a job and each of its workers need to start.
    """
    if "typing_extensions" in sys.modules:
        yield
        return
    sys.modules["typing_extensions"] = typing
    try:
        yield
    finally:
        del sys.modules["typing_extensions"]


def leave_garbage() -> None:
    """Called last in a process: as it ends Python looks for garbage among all objects, longer than some commands take.

    All else that belongs to an orderly end is done as ever; memory goes back to the system anyway.
    """
    gc.freeze()


with plain_typing():
    import msgspec  # noqa: F401
