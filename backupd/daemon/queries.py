"""Questions that are answered while the caller waits: listings, keys, single files. Each has a job process of its own.

They never wait for jobs; a reader that is slow slows only its own process down.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping

from backupd.daemon.child import ChildJob
from backupd.errors import DaemonBusyError
from backupd.model.any_order import AnyOrder
from backupd.model.events import FromJob
from backupd.model.steering import Answer, CancelRequest

_MOST = 16
_MOST_A_USER = 6
_MOST_OF_OTHERS = _MOST - _MOST_A_USER
"""Of all users but root and the daemon's own, who so is never kept out by them."""


class Queries:
    """Those under way. All on the event loop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._running: Counter[int] = Counter()
        self._children: dict[ChildJob, tuple[int, str]] = {}

    async def ask(self, name: str, uid: int, order: AnyOrder) -> AsyncIterator[FromJob]:
        """Carry an order out. name: under which answers to its questions come. Raises DaemonBusyError."""
        own = (0, os.geteuid())
        others = sum(count for one, count in self._running.items() if one not in own)
        is_full = uid not in own and others >= _MOST_OF_OTHERS
        if is_full or self._running.total() >= _MOST or self._running[uid] >= _MOST_A_USER:
            raise DaemonBusyError("too many questions at once", hint="wait for one of them to be answered")
        self._running[uid] += 1
        child: ChildJob | None = None
        try:
            child = await ChildJob.start(order, self._environment)
            self._children[child] = (uid, name)
            async for event in child.events():
                yield event
        finally:
            try:
                if child is not None:
                    await child.end()
                    self._children.pop(child, None)
            finally:
                self._running[uid] -= 1

    async def answer(self, name: str, uid: int, message: Answer | CancelRequest) -> bool:
        """Pass a message to a question's process; False when it is gone or another user's."""
        child = next((one for one, whose in self._children.items() if name and whose == (uid, name)), None)
        if child is not None:
            await child.send(message)
        return child is not None

    def kill_all(self) -> None:
        """The daemon ends."""
        for child in self._children:
            child.kill()
