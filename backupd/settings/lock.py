"""The lock of a set: one writing job at a time in one state directory (DESIGN 1). Readers take none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from types import TracebackType
from typing import Any

from backupd import durable_io
from backupd.cancel import Cancel
from backupd.clock import Clock, to_datetime
from backupd.errors import BusyError
from backupd.settings.directories import ensure
from backupd.state_errors import translated

FOREVER = float("inf")

_PAUSE_SECONDS = 0.2
_LIMIT_BYTES = 4096


class SetLock:
    """An flock that ends with its process at the latest; the file stays and names the last holder.

    The file is never removed: who waits for it would then hold a lock that nobody else sees.
    """

    def __init__(self, state: str, set_id: str) -> None:
        self.path = os.path.join(state, "jobs", f"{set_id}.lock")
        self._fd: int | None = None

    def acquire(self, clock: Clock, timeout_seconds: float = 0.0, cancel: Cancel | None = None) -> None:
        """Take the lock, waiting for it that long; FOREVER: until it is free.

        Raises BusyError with the holder's pid and since when in message and context, the error of a cancel meanwhile,
        AccessError, StateFullError.
        """
        ensure(os.path.dirname(self.path))
        deadline = clock.monotonic() + timeout_seconds
        pause = threading.Event()
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                while not _try_lock(fd):
                    if cancel is not None:
                        cancel.check()
                    if clock.monotonic() >= deadline:
                        raise self._busy(fd)
                    pause.wait(_PAUSE_SECONDS)
                os.ftruncate(fd, 0)
                durable_io.write_buffers(fd, [json.dumps({"pid": os.getpid(), "since_ns": clock.now_ns()}).encode()])
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise translated(error, self.path) from error
        self._fd = fd

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def close(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> SetLock:
        """The lock itself, to be taken by `acquire`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self.close()

    def _busy(self, fd: int) -> BusyError:
        holder = _holder(fd)
        message = "a job of this set is running"
        if "pid" in holder:
            message += f": process {holder['pid']}, since {to_datetime(holder['since_ns']):%Y-%m-%d %H:%M:%S} UTC"
        hint = "wait for its end, or use --if-running wait or --if-running skip"
        return BusyError(message, hint=hint, context={**holder, "lock": self.path})


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _holder(fd: int) -> dict[str, Any]:
    """The pid and since_ns as the holder wrote them; empty in the moment before it has."""
    try:
        found = json.loads(os.pread(fd, _LIMIT_BYTES, 0))
        to_datetime(int(found["since_ns"]))
        return {"pid": int(found["pid"]), "since_ns": int(found["since_ns"])}
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return {}
