"""When a session is announced again: every ten minutes, and at once where a cleaner waits for it."""

from __future__ import annotations

from backupd.clock import Clock
from backupd.operations.backup.session import LOOK_SECONDS, POST_SECONDS, RunningSession


class Posts:
    """Of one session at one destination, whose writer asks between all steps."""

    def __init__(self, session: RunningSession, clock: Clock) -> None:
        self._session, self._clock = session, clock
        self._posted_at = self._looked_at = clock.monotonic()

    def post_if_due(self) -> None:
        """Raises DestinationError."""
        now = self._clock.monotonic()
        if now - self._posted_at >= POST_SECONDS:
            self._session.post(self._clock.now_ns())
            self._posted_at = self._looked_at = now
        elif now - self._looked_at >= LOOK_SECONDS:
            self._session.post_where_awaited(self._clock.now_ns())
            self._looked_at = now
