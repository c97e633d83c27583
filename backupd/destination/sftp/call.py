"""What one call of the store may take of time and memory, whatever a server does; without any I/O."""

from __future__ import annotations

import msgspec

from backupd.destination.sftp.protocol import SftpFormatError


class CallLimits(msgspec.Struct, frozen=True):
    """Of all that one call asks for together."""

    names: int = 5_000_000
    listed_bytes: int = 1 << 30
    """Of the answers that name them; OpenSSH sends 230 for one of ours."""
    read_bytes: int = 256 << 20
    """Of one object; they are held in memory."""


class Call:
    """Counts what a call has taken. Raises SftpFormatError where that is more than any store's."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._names = self._listed_bytes = 0

    def list_names(self, count: int, size_bytes: int) -> None:
        """An answer with so many names came; without any it counts as one, so that it can't come for ever."""
        self._names += max(1, count)
        self._listed_bytes += size_bytes
        if self._names > self._limits.names:
            raise SftpFormatError(f"over {self._limits.names} names")
        if self._listed_bytes > self._limits.listed_bytes:
            raise SftpFormatError(f"over {self._limits.listed_bytes} bytes of names")

    def read(self, size_bytes: int) -> None:
        """So many bytes of one object are to be read."""
        if size_bytes > self._limits.read_bytes:
            raise SftpFormatError(f"{size_bytes} bytes to read at once, over {self._limits.read_bytes}")
