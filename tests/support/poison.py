"""A file that kills each worker that opens it, by fanotify's permission events: root on Linux."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import threading
from pathlib import Path
from types import TracebackType

from tests.support.running import kill

_CLASS_CONTENT = 0x04
_CLOSE_ON_EXEC = 0x01
_MARK_ADD = 0x01
_OPEN_PERM = 0x00010000
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")
_ANSWER = struct.Struct("=iI")
_ALLOW = 0x01
_libc = ctypes.CDLL(None, use_errno=True)


class Poison:
    """While it is entered, a worker that opens one of the files dies in that very call."""

    def __init__(self, *paths: Path) -> None:
        self.deaths = 0
        self._paths = paths
        self._fd = -1
        self._thread = threading.Thread(target=self._watch)
        self._is_over = False

    def __enter__(self) -> Poison:
        self._fd = _libc.fanotify_init(_CLASS_CONTENT | _CLOSE_ON_EXEC, os.O_RDONLY)
        assert self._fd >= 0, os.strerror(ctypes.get_errno())
        for path in self._paths:
            done = _libc.fanotify_mark(
                self._fd, _MARK_ADD, ctypes.c_uint64(_OPEN_PERM), _AT_FDCWD, os.fsencode(path)
            )
            assert done == 0, os.strerror(ctypes.get_errno())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        # This opening wakes the thread.
        self._paths[0].read_bytes()
        self._thread.join()
        os.close(self._fd)

    def _watch(self) -> None:
        while not self._is_over:
            events = os.read(self._fd, 4096)
            while events:
                length, _, _, _, _, fd, process = _EVENT.unpack_from(events)
                events = events[length:]
                if b"backupd.worker" in Path(f"/proc/{process}/cmdline").read_bytes():
                    kill(process, signal.SIGKILL)
                    self.deaths += 1
                os.write(self._fd, _ANSWER.pack(fd, _ALLOW))
                os.close(fd)
