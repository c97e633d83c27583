"""Questions that are answered while the caller waits: listings, keys, single files. Each has a job process of its own.

They never wait for jobs; a reader that is slow slows only its own process down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping

from backupd.daemon.child import ChildJob
from backupd.errors import DaemonBusyError
from backupd.model.events import FromJob
from backupd.model.orders import Answer, AnyOrder, CancelRequest

_MOST = 16
_MOST_A_USER = 6


class Queries:
    """Those under way. All on the event loop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._running: Counter[int] = Counter()
        self._children: dict[str, tuple[int, ChildJob]] = {}

    async def ask(self, name: str, uid: int, order: AnyOrder) -> AsyncIterator[FromJob]:
        """Carry an order out. name: under which answers to its questions come. Raises DaemonBusyError."""
        if self._running.total() >= _MOST or self._running[uid] >= _MOST_A_USER:
            raise DaemonBusyError("too many questions at once", hint="wait for one of them to be answered")
        self._running[uid] += 1
        child: ChildJob | None = None
        try:
            child = await ChildJob.start(order, self._environment)
            self._children[name] = (uid, child)
            async for event in child.events():
                yield event
        finally:
            self._running[uid] -= 1
            self._children.pop(name, None)
            if child is not None:
                await child.end()

    async def answer(self, name: str, uid: int, message: Answer | CancelRequest) -> bool:
        """Pass a message to a question's process; False when it is gone or another user's."""
        owner, child = self._children.get(name, (uid, None))
        if child is None or owner != uid:
            return False
        await child.send(message)
        return True

    def kill_all(self) -> None:
        """The daemon ends."""
        for _, child in self._children.values():
            child.kill()
