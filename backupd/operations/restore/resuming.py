"""A note of when restores to one target ran, so that the next one knows the files they left unfinished.

A killed restore leaves a few files under their names with a time stamp of that moment, which look newer than the
snapshot's. They have mode 0600 until they are finished, are the caller's own, and were last changed while it ran.

A power cut leaves finished ones, too, of the right size and time, whose bytes never came to the disk: ext4 shows zeros
(tried). So what was changed since the last sync of a run that did not end is trusted only on the same mount. When that
run was last alive is no end of it: while it waits for a slow disk its workers write, and nothing is noted.

The note has a record a run, little-endian: when it began, when it was last alive, until when all is on the disk, three
u64 of nanoseconds, and 16 bytes of `mount_identity`, zeros where nothing unsynced is to be trusted.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat as modes
import struct

from blake3 import blake3

from backupd import durable_io
from backupd.errors import BackupError
from backupd.inode_io import sync_file_system
from backupd.mount_identity import IDENTITY_BYTES, mount_identity
from backupd.operations.context import JobContext
from backupd.settings.directories import ensure
from backupd.target.directories import Directories
from backupd.target.losses import failure

_RUN = struct.Struct("<QQQ16s")
_MOST_RUNS = 1000
_BEAT_NS = 1_000_000_000
_SYNC_NS = 5_000_000_000
_SYNC_TARGET_NS = 60_000_000_000
_EARLY_NS = 1_000_000_000
"""File systems stamp with a clock that lags some milliseconds behind."""
_LATE_NS = 10_000_000_000
"""Workers outlive a killed coordinator by the task at hand, and what it noted last a power cut may take."""


class Note:
    """Restores of one snapshot to one target by this user. Without a state directory it knows nothing."""

    def __init__(self, context: JobContext, repository_id: bytes, snapshot_id: bytes, target: bytes) -> None:
        name = "2-" + blake3(repository_id + snapshot_id + os.path.realpath(target)).hexdigest(16)
        self._directory = os.path.join(context.directories.state, "restores")
        self._path = os.path.join(self._directory, name)
        self._clock = context.clock
        self._runs = self._read()
        self._mounts: dict[int, bytes | None] = {}
        self._fd: int | None = None
        self._directories: Directories | None = None
        self._began_ns = self._last_ns = self._noted_ns = self._synced_ns = self._tried_ns = 0
        self._mount = bytes(IDENTITY_BYTES)

    def begin(self, root_fd: int, directories: Directories) -> None:
        """Add a record for this run; on the disk when this returns. directories: below the target, open meanwhile."""
        self._directories, self._mount = directories, mount_identity(root_fd) or self._mount
        self._began_ns = self._last_ns = self._noted_ns = self._synced_ns = self._tried_ns = self._clock.now_ns()
        # Where it can't be kept, a restore after a crash asks before it replaces what is unfinished.
        with contextlib.suppress(BackupError, OSError):
            ensure(self._directory)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._write(is_lasting=True)
            durable_io.sync_directory(self._directory)

    def beat(self) -> None:
        """This run is alive; to be called often. Raises TargetError, TargetFullError."""
        if self._fd is None:
            return
        now_ns = self._clock.now_ns()
        if not 0 <= now_ns - self._last_ns < _BEAT_NS:
            self._last_ns = now_ns
            is_lasting = not 0 <= now_ns - self._noted_ns < _SYNC_NS
            if not 0 <= now_ns - self._tried_ns < _SYNC_TARGET_NS:
                self._tried_ns = now_ns
                self.sync_target()
                self._synced_ns, is_lasting = now_ns, True
            with contextlib.suppress(OSError):
                self._write(is_lasting)

    def sync_target(self) -> None:
        """Bring all that was written to its disks. Raises TargetError, TargetFullError, once for a fault."""
        try:
            for fd in self._directories.file_systems() if self._directories is not None else ():
                sync_file_system(fd)
        except OSError as error:
            self.distrust()
            raise failure("not all could be brought to the disk", error) from error

    def distrust(self) -> None:
        """What was written can't be brought to the disk: what the system shows of it may be gone tomorrow."""
        self._mount = bytes(IDENTITY_BYTES)
        with contextlib.suppress(OSError):
            self._write(is_lasting=True)

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
            and any(began - _EARLY_NS <= stat.st_mtime_ns <= alive + _LATE_NS for began, alive, _, _ in self._runs)
        )

    def is_doubtful(self, stat: os.stat_result, directory_fd: int) -> bool:
        """Whether an earlier restore that did not end may have written this, and its bytes may have been lost since."""
        changed_ns = stat.st_ctime_ns
        return any(
            synced - _EARLY_NS <= changed_ns <= self._end_ns(number) and not self._is_on(mount, stat, directory_fd)
            for number, (_, _, synced, mount) in enumerate(self._runs)
        )

    def _end_ns(self, number: int) -> float:
        """Until when a run may have changed files: the next one began, if no clock was set back between them."""
        alive_ns = self._runs[number][1]
        next_ns = self._runs[number + 1][0] if number + 1 < len(self._runs) else 0
        return next_ns + _LATE_NS if next_ns >= alive_ns else math.inf

    def _is_on(self, mount: bytes, stat: os.stat_result, directory_fd: int) -> bool:
        if stat.st_dev not in self._mounts:
            self._mounts[stat.st_dev] = mount_identity(directory_fd)
        return self._mounts[stat.st_dev] == mount

    def _write(self, is_lasting: bool) -> None:
        if self._fd is not None:
            record = _RUN.pack(self._began_ns, self._last_ns, self._synced_ns, self._mount)
            os.pwrite(self._fd, record, _RUN.size * len(self._runs))
            if is_lasting:
                self._noted_ns = self._last_ns
                durable_io.sync_file(self._fd)

    def _read(self) -> list[tuple[int, int, int, bytes]]:
        try:
            with open(self._path, "rb") as file:
                data = file.read(_RUN.size * _MOST_RUNS)
        except OSError:
            return []
        return list(_RUN.iter_unpack(data[: len(data) // _RUN.size * _RUN.size]))
