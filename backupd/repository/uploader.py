"""Sends finished blocks to the destination on a thread of its own and tells the coordinator when each is safe."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import block_name
from backupd.destination.contract import Destination
from backupd.errors import BackupError

Announce = Callable[[FinishedBlock], None]


class Uploader:
    """One thread, blocks in the order of `send`."""

    def __init__(self, place: Destination, announce: Announce, wake: socket.socket) -> None:
        """announce: called on the thread before a block is sent (the journal). wake: gets a byte when it is safe."""
        self._place, self._announce, self._wake = place, announce, wake
        self._todo: queue.Queue[FinishedBlock | None] = queue.Queue()
        self._done: queue.SimpleQueue[FinishedBlock] = queue.SimpleQueue()
        self.error: BackupError | OSError | None = None
        self.under_way = 0
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)
        self._thread.start()

    def send(self, block: FinishedBlock) -> None:
        """Queue a block."""
        self.under_way += 1
        self._todo.put(block)

    def take_done(self) -> list[FinishedBlock]:
        """Blocks that became safe since the last call. Raises the error that ended the sending."""
        done: list[FinishedBlock] = []
        while not self._done.empty():
            done.append(self._done.get())
        self.under_way -= len(done)
        if self.error is not None:
            raise self.error
        return done

    def close(self) -> None:
        """End the thread after what is queued."""
        self._todo.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (block := self._todo.get()) is not None:
            if self.error is None:
                try:
                    # Before, for a crash between the two would leave a block that nobody knows and all in it be
                    # stored twice; whether it arrived, the next run sees at the destination.
                    self._announce(block)
                    self._place.put(block_name(block.block_id), block.buffers)
                except (BackupError, OSError) as error:
                    self.error = error
                else:
                    self._done.put(block)
                self._wake.send(b"\0")
