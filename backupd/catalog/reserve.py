"""Room on the state's disk that is kept for ending work (FEATURES 4.7)."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from backupd import durable_io

RESERVE_BYTES = 64 << 20
_SPARE_BYTES = 32 << 20
"""Beyond the reserve: making it again must not fill the disk for those who write there now."""

_FULL_BYTES = 8 << 20
"""A checkpoint may need as much."""


class Reserve:
    """A file that is given up on a full disk and made again when there is room. Safe for several threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.is_given_up = False
        """Whether it was needed and is not there again: nothing new is taken on meanwhile."""

    def keep(self) -> bool:
        """Make the file if it is not there and there is room; whether it is there."""
        with self._lock:
            is_there = self._is_whole() or self._make()
            self.is_given_up = self.is_given_up and not is_there
            return is_there

    def give_up(self) -> None:
        """Free its space."""
        with self._lock:
            self.is_given_up = True
            with suppress(OSError):
                os.unlink(self._path)

    def make_room(self) -> None:
        """Free its space where the disk is full: what is asked for now ends work or frees more."""
        found = os.statvfs(os.path.dirname(self._path))
        if found.f_bavail * found.f_frsize < _FULL_BYTES:
            self.give_up()

    def _is_whole(self) -> bool:
        try:
            return os.stat(self._path).st_size == RESERVE_BYTES
        except OSError:
            return False

    def _make(self) -> bool:
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            found = os.statvfs(os.path.dirname(self._path))
            if found.f_bavail * found.f_frsize < RESERVE_BYTES + _SPARE_BYTES:
                return False
            durable_io.allocate_new(self._path, RESERVE_BYTES)
        except OSError:
            return False
        return True
