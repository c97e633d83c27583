"""Memory that several processes of this program share: passed on as a descriptor, without a name.

Anonymous (memfd) on Linux, an unlinked temporary file elsewhere: nothing stays after a crash.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile

from backupd.errors import StateFullError


def make_memory(size_bytes: int) -> int:
    """Descriptor of a new memory file of that size; inheritable only where it is passed on by hand.

    Raises StateFullError, also where files may not be that large.
    """
    if sys.platform.startswith("linux"):
        fd = os.memfd_create("backupd", os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix="backupd-")
        os.unlink(path)
    try:
        os.ftruncate(fd, size_bytes)
    except OSError as error:
        os.close(fd)
        raise StateFullError(
            f"no {size_bytes >> 20} MiB of working memory in {_shown()}: {error.strerror}",
            hint="`ulimit -f` shows the limit on the size of files, which this counts as; raise it",
        ) from error
    return fd


def _shown() -> str:
    return "a memory file" if sys.platform.startswith("linux") else tempfile.gettempdir()


def map_memory(fd: int) -> mmap.mmap:
    """The whole memory file, shared between all who map it."""
    return mmap.mmap(fd, os.fstat(fd).st_size)
