"""Those who follow a job: each has a bounded buffer, and a slow one loses the oldest lines that may be lost."""

from __future__ import annotations

import asyncio
from collections import deque

from backupd.model.events import FromJob, Item, Log, Progress

_MOST_EVENTS = 512


class Follower:
    """One reader of a job's events."""

    def __init__(self) -> None:
        self._events: deque[FromJob] = deque()
        self._arrived = asyncio.Event()
        self._is_ended = False

    def add(self, event: FromJob) -> None:
        """Give an event; only the newest progress is kept, and of old log lines as many as there is room for."""
        if isinstance(event, Progress) and self._events and isinstance(self._events[-1], Progress):
            self._events.pop()
        self._events.append(event)
        if len(self._events) > _MOST_EVENTS:
            lost = next((old for old in self._events if isinstance(old, Progress | Log | Item)), None)
            if lost is not None:
                self._events.remove(lost)
        self._arrived.set()

    def end(self) -> None:
        """Nothing comes after what was given."""
        self._is_ended = True
        self._arrived.set()

    async def next(self) -> FromJob | None:
        """The next event, waiting for it; None after the last."""
        while not self._events:
            if self._is_ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()
