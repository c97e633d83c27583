"""Directories of single jobs, held by a lock while the job lives; those of dead ones are removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress

_LOCK = "lock"


class Temporary:
    """A private directory, held by a lock while its job lives."""

    def __init__(self, above: str, label: str) -> None:
        """Make it below a directory. Raises OSError."""
        self.path = tempfile.mkdtemp(prefix=f"backupd-{label}-", dir=above)
        lock = os.path.join(self.path, _LOCK)
        self._fd = os.open(f"{lock}.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not before it is held: another job takes one that nobody holds for a dead one's.
        os.rename(f"{lock}.new", lock)

    def remove(self) -> None:
        """Remove it with all that lies in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._fd)


def remove_dead(above: str) -> None:
    """Remove directories of jobs that are gone: nobody holds their lock. Raises OSError."""
    for entry in os.scandir(above):
        if not entry.name.startswith("backupd-") or not entry.is_dir(follow_symlinks=False):
            continue
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                continue
            fd = os.open(os.path.join(entry.path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
            finally:
                os.close(fd)
