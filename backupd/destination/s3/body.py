"""The bytes of one object as boto3 reads them: the buffers as they are, never joined."""

from __future__ import annotations

import io

from backupd.destination.contract import Buffers

JOINED_BYTES = 64 << 10
"""Objects up to this size are sent as one piece."""
_PIECE_BYTES = 128 << 10
"""What one write to a connection takes; it has the time limit of one write, so it must be small for slow lines."""


class Body:
    """Reads, tells and seeks over buffers. Of one thread."""

    def __init__(self, buffers: Buffers) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self.size_bytes = sum(map(len, self._views))
        self._view = self._within = self._position = 0

    def read(self, wanted: int | None = -1) -> memoryview | bytes:
        """The next bytes, of one buffer; empty at the end.

        Who asks for little, as http.client does by 16 KiB, gets more: each piece costs it a system call.
        """
        if self._view == len(self._views):
            return b""
        limit = self.size_bytes if wanted is None or wanted < 0 else max(wanted, _PIECE_BYTES)
        piece = self._views[self._view][self._within : self._within + limit]
        self._advance(len(piece))
        return piece

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; returns which."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        target = max(0, min(start + offset, self.size_bytes))
        self._view = self._within = self._position = 0
        while self._position < target:
            self._advance(min(target - self._position, len(self._views[self._view]) - self._within))
        return target

    def _advance(self, count: int) -> None:
        self._position += count
        self._within += count
        if self._within == len(self._views[self._view]):
            self._view, self._within = self._view + 1, 0


def body_of(buffers: Buffers) -> tuple[Body | bytes, int]:
    """(what boto3 sends, its bytes)."""
    body = Body(buffers)
    if body.size_bytes <= JOINED_BYTES:
        return b"".join(buffers), body.size_bytes
    return body, body.size_bytes
