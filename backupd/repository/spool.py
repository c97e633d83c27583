"""Where finished blocks wait for a destination that does not keep up: files without a name, bounded (DESIGN 5)."""

from __future__ import annotations

import mmap
import os
import tempfile

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import digest_of
from backupd.errors import DamageError


class Spool:
    """Bytes of blocks on the local disk. Nothing stays after a crash, for the files have no names."""

    def __init__(self, directory: str, limit_bytes: int) -> None:
        """directory: is there, or nothing is ever kept. limit_bytes: of all that waits."""
        self._directory, self._limit_bytes = directory, limit_bytes
        self._kept: dict[bytes, int] = {}
        self._is_usable = True

    @property
    def kept_bytes(self) -> int:
        """Of all blocks that wait here."""
        return sum(self._kept.values())

    def keep(self, block: FinishedBlock) -> bool:
        """Take a block's bytes out of the memory that its buffers lie in; False where there is no room."""
        if not self._is_usable or self.kept_bytes + block.size_bytes > self._limit_bytes:
            return False
        try:
            block.complete()
            with tempfile.TemporaryFile(dir=self._directory, prefix="backupd-spool-") as file:
                for buffer in block.buffers:
                    file.write(buffer)
                file.flush()
                mapped = mmap.mmap(file.fileno(), block.size_bytes, access=mmap.ACCESS_READ)
        except OSError:
            # A full disk: what waits goes, and then there may be room again; a directory that is gone stays gone.
            self._is_usable = os.path.isdir(self._directory)
            return False
        block.buffers[:] = [memoryview(mapped)]
        self._kept[block.block_id] = block.size_bytes
        return True

    def check(self, block: FinishedBlock) -> None:
        """Raises DamageError where what waited here is not what was written; for a block that did not wait, nothing.

        Before it is sent, for it is sealed and checked no more.
        """
        if block.block_id in self._kept and digest_of([block.buffers[0][: -len(block.digest)]]) != block.digest:
            raise DamageError(
                f"a block comes back from {self._directory} with other bytes than were written there",
                hint="look after the disk that directory lies on",
            )

    def forget(self, block: FinishedBlock) -> None:
        """The block was sent, or never will be."""
        self._kept.pop(block.block_id, None)
