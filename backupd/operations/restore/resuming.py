"""A note of when restores to one target ran, so that the next one knows the files they left unfinished.

A killed restore leaves a few files under their names with a time stamp of that moment, which look newer than the
snapshot's. They have mode 0600 until they are finished, are the caller's own, and were last changed while it ran.
The note has a record a run: when it began and when it was last alive, two u64 of nanoseconds.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
import struct

from blake3 import blake3

from backupd.errors import BackupError
from backupd.operations.context import JobContext
from backupd.settings.directories import ensure

_RUN = struct.Struct("<QQ")
_MOST_RUNS = 1000
_BEAT_NS = 1_000_000_000
_EARLY_NS = 1_000_000_000
"""File systems stamp with a clock that lags some milliseconds behind."""
_LATE_NS = 10_000_000_000
"""Workers outlive a killed coordinator by the task at hand."""


class Note:
    """Restores of one snapshot to one target by this user. Without a state directory it knows nothing."""

    def __init__(self, context: JobContext, repository_id: bytes, snapshot_id: bytes, target: bytes) -> None:
        name = blake3(repository_id + snapshot_id + os.path.realpath(target)).hexdigest(16)
        self._directory = os.path.join(context.directories.state, "restores")
        self._path = os.path.join(self._directory, name)
        self._clock = context.clock
        self._runs = self._read()
        self._fd: int | None = None
        self._last_ns = 0

    def begin(self) -> None:
        """Add a record for this run."""
        self._last_ns = now_ns = self._clock.now_ns()
        # Where it can't be kept, a restore after a crash asks before it replaces what is unfinished.
        with contextlib.suppress(BackupError, OSError):
            ensure(self._directory)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.pwrite(self._fd, _RUN.pack(now_ns, now_ns), _RUN.size * len(self._runs))

    def beat(self) -> None:
        """This run is alive; to be called often."""
        if self._fd is not None:
            now_ns = self._clock.now_ns()
            if not 0 <= now_ns - self._last_ns < _BEAT_NS:
                self._last_ns = now_ns
                with contextlib.suppress(OSError):
                    os.pwrite(self._fd, _RUN.pack(0, now_ns)[8:], _RUN.size * len(self._runs) + 8)

    def end(self) -> None:
        """The restore came to its end: nothing is unfinished."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def close(self) -> None:
        """Give the file back; without `end` before, the note stays for the next run."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def is_unfinished(self, stat: os.stat_result) -> bool:
        """Whether what stands in the target is a file that an earlier restore did not finish."""
        return (
            stat.st_mode == modes.S_IFREG | 0o600
            and stat.st_uid == os.geteuid()
            and any(began - _EARLY_NS <= stat.st_mtime_ns <= alive + _LATE_NS for began, alive in self._runs)
        )

    def _read(self) -> list[tuple[int, int]]:
        try:
            with open(self._path, "rb") as file:
                data = file.read(_RUN.size * _MOST_RUNS)
        except OSError:
            return []
        return list(_RUN.iter_unpack(data[: len(data) // _RUN.size * _RUN.size]))
