"""What became of a letter, said to the daemon at once; and that a process whose daemon is gone sends nothing more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from backupd.model import events
from backupd.model.notice_orders import Letter
from backupd.operations.context import JobContext

Verdict = Literal["sent", "later", "refused"]
_LOOK_SECONDS = 0.1


def tell(
    context: JobContext,
    letter: Letter,
    verdict: Verdict,
    detail: str,
    retry_after_seconds: float | None = None,
    *,
    is_down: bool = False,
) -> None:
    """Say what became of a letter. is_down: nothing else gets through there now, either."""
    item = {
        "id": letter.id,
        "verdict": verdict,
        "detail": detail[:2000],
        "retry_after_seconds": retry_after_seconds,
        "is_down": is_down,
    }
    context.send(events.Item(item=item))


class Line:
    """The connection that is open now."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None

    def cut(self) -> None:
        """End it at once: a half message is none."""
        end = self.socket
        if end is not None:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_when_cancelled(context: JobContext) -> Iterator[Line]:
    """A line that ends as soon as the job is to end: what the daemon does not hear of any more is not to arrive."""
    line, is_over = Line(), threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            if context.cancel.is_requested:
                line.cut()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield line
    finally:
        is_over.set()
        watcher.join()
