"""Sends finished blocks to the destination on threads of its own and tells the coordinator when each is safe."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import block_name
from backupd.destination.contract import Destination
from backupd.errors import BackupError

Announce = Callable[[FinishedBlock], None]

_PARALLEL = 2
"""Blocks under way at once: one is copied while the other waits for the disk or the answer."""


class Uploader:
    """Blocks leave in the order of `send`; where the destination takes parallel calls, two are under way at once."""

    def __init__(self, place: Destination, announce: Announce, wake: socket.socket) -> None:
        """announce: called on a thread before a block is sent (the journal). wake: gets a byte when it is safe."""
        self._place, self._announce, self._wake = place, announce, wake
        self._todo: queue.Queue[FinishedBlock | None] = queue.Queue()
        self._ended: queue.SimpleQueue[tuple[FinishedBlock, bool]] = queue.SimpleQueue()
        self.error: BackupError | OSError | None = None
        """What ended the sending."""
        self.under_way = 0
        count = _PARALLEL if place.traits.parallel_calls else 1
        self._threads = [threading.Thread(target=self._run, name="uploader", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def send(self, block: FinishedBlock) -> None:
        """Queue a block."""
        self.under_way += 1
        self._todo.put(block)

    def take_ended(self) -> list[tuple[FinishedBlock, bool]]:
        """(block, whether it is safe) of those that nobody reads any more since the last call."""
        ended: list[tuple[FinishedBlock, bool]] = []
        while not self._ended.empty():
            ended.append(self._ended.get())
        self.under_way -= len(ended)
        return ended

    def take_done(self) -> list[FinishedBlock]:
        """Blocks that became safe since the last call. Raises the error that ended the sending."""
        done = [block for block, is_safe in self.take_ended() if is_safe]
        if self.error is not None:
            raise self.error
        return done

    def end(self, error: BackupError) -> None:
        """Send nothing more but what is under way now."""
        if self.error is None:
            self.error = error

    def close(self, seconds: float | None = None) -> None:
        """End the threads after what is queued. seconds: how long to wait for them, None: until they end."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def _run(self) -> None:
        while (block := self._todo.get()) is not None:
            is_safe = False
            try:
                if self.error is None:
                    self._put(block)
                    is_safe = True
            except (BackupError, OSError) as error:
                self.error = self.error or error
            except BaseException as error:
                # A defect: who waits for this block must hear of it all the same.
                self.error = BackupError(f"a block could not be sent: {type(error).__name__}: {error}")
                raise
            finally:
                self._ended.put((block, is_safe))
                # Nobody may listen any more to what hung at a dead destination.
                with suppress(OSError):
                    self._wake.send(b"\0")

    def _put(self, block: FinishedBlock) -> None:
        block.complete()
        # Announced before, for a crash between the two would leave a block that nobody knows and all in it be stored
        # twice; whether it arrived, the next run sees at the destination.
        self._announce(block)
        self._place.put(block_name(block.block_id), block.buffers)
