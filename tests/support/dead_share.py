"""A mounted share whose server is gone: whoever looks at it waits until the block ends; root on Linux with FUSE."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dead_share(path: Path) -> Iterator[Path]:
    """Mounted at a new directory. A question that was asked meanwhile ends with an error."""
    path.mkdir()
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
        if ctypes.CDLL(None, use_errno=True).mount(b"dead", bytes(path), b"fuse", 0, options) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        yield path
    finally:
        os.close(server)
        subprocess.run(["umount", "-l", path], check=True)
