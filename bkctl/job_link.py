"""What a conversation needs of a job, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from backupd.model.any_order import ToJob
from backupd.model.events import FromJob


class JobLink(AbstractContextManager["JobLink"], Protocol):
    """A running job that is followed and spoken to."""

    def fileno(self) -> int:
        """What to poll for reading."""
        ...

    def send(self, message: ToJob) -> None:
        """Send one message; a job that is gone is noticed at the next reading."""
        ...

    def events(self) -> Iterator[FromJob]:
        """What has arrived; only when it is readable. Raises EOFError after the last one."""
        ...

    def leave(self) -> None:
        """Don't wait for the end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def ending(self) -> str:
        """How a job ended that said no last word, as the end of a sentence."""
        ...
