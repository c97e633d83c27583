"""What to raise when a file of our own state, caches, keys or settings can't be read or written."""

from __future__ import annotations

import errno
import os

from backupd.errors import AccessError, BackupError, StateError, StateFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def translated(error: OSError, path: str) -> BackupError:
    """The error to raise for an OSError at a file of ours: StateFullError, AccessError, else StateError."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StateFullError(f"no space left for {path}", hint="free some space on that file system")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessError(f"can't write {path}: {reason}", hint=f"make {os.path.dirname(path)} writable for you")
    hint = "look after the disk it lies on; what is stored at destinations is not touched"
    return StateError(f"{path}: {reason}", hint=hint)
