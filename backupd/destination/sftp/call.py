"""What one call of the store may take of time and memory, whatever a server does; without any I/O."""

from __future__ import annotations

import msgspec

from backupd.destination.bounds import LEAST_BYTES_A_SECOND, MAX_FOLDERS, MAX_OBJECT_BYTES
from backupd.destination.sftp.protocol import SftpFormatError

_STEP_SECONDS = 0.5
"""For each small request of a call that has many: a way to the other side of the world and back."""
_SLOW_SECONDS = 5.0
"""Who waits so long without a byte waits for a disk."""


class CallLimits(msgspec.Struct, frozen=True):
    """Of all that one call asks for together."""

    seconds: float = 60.0
    """Beside the time for its bytes at 8 KiB a second."""
    slow_disk_seconds: float = 300.0
    """More, for waits in which nothing comes."""
    names: int = 5_000_000
    folders: int = MAX_FOLDERS
    """A repository has some thousands."""
    listed_bytes: int = 1 << 30
    """Of the answers that name them; OpenSSH sends 230 for one of ours."""
    read_bytes: int = MAX_OBJECT_BYTES
    """Of one object; they are held in memory."""


class Call:
    """Counts what a call has taken. Raises SftpFormatError where that is more than any store's.

    Time is what was spent on waiting for the server: who reads what was listed may take as long as they like.
    """

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._names = self._folders = self._listed_bytes = 0
        self._granted_seconds = limits.seconds
        self._waited_seconds = self._slow_seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the server has had all its time."""
        slow = min(self._slow_seconds, self._limits.slow_disk_seconds)
        return self._waited_seconds > self._granted_seconds + slow

    def wait(self, seconds: float) -> None:
        """So long the server was waited for, and then some bytes came or went."""
        self._waited_seconds += seconds
        if seconds >= _SLOW_SECONDS:
            self._slow_seconds += seconds

    def step(self) -> None:
        """A further small request."""
        self._granted_seconds += _STEP_SECONDS

    def move(self, size_bytes: int) -> None:
        """So many bytes are to come or to go."""
        self._granted_seconds += size_bytes / LEAST_BYTES_A_SECOND

    def enter(self, count: int) -> None:
        """So many folders are to be listed."""
        self._folders += count
        if self._folders > self._limits.folders:
            raise SftpFormatError(f"over {self._limits.folders} folders")
        self._granted_seconds += count * _STEP_SECONDS

    def list_names(self, count: int, size_bytes: int) -> None:
        """An answer with so many names came; without any it counts as one, so that it can't come for ever."""
        self._names += max(1, count)
        self._listed_bytes += size_bytes
        self.move(size_bytes)
        if self._names > self._limits.names:
            raise SftpFormatError(f"over {self._limits.names} names")
        if self._listed_bytes > self._limits.listed_bytes:
            raise SftpFormatError(f"over {self._limits.listed_bytes} bytes of names")

    def read(self, size_bytes: int) -> None:
        """So many bytes of one object are to be read."""
        if size_bytes > self._limits.read_bytes:
            raise SftpFormatError(f"{size_bytes} bytes to read at once, over {self._limits.read_bytes}")
        self.move(max(0, size_bytes))
