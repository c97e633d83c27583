"""Questions to what may never answer: a share whose server is gone, a name service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from backupd.errors import BackupError

Answer = TypeVar("Answer")


class Asking:
    """Each question in a thread of its own, one at a time for each key: those that all share would be used up."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, Future[Any]] = {}

    async def answered(self, key: Hashable, ask: Callable[[], Answer], seconds: float) -> Answer:
        """On the event loop. key: says what is asked. Raises TimeoutError, and what `ask` raises."""
        self._asked = {one: waiting for one, waiting in self._asked.items() if not waiting.done()}
        asked = self._asked.get(key)
        if asked is None:
            asked = Future()
            threading.Thread(target=_answer, args=(asked, ask), name="asked", daemon=True).start()
            self._asked[key] = asked
        try:
            return cast("Answer", await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(asked)), seconds))
        finally:
            if asked.done():
                self._asked.pop(key, None)


def _answer(asked: Future[Any], ask: Callable[[], object]) -> None:
    try:
        answer = ask()
    except (BackupError, OSError) as error:
        asked.set_exception(error)
    except BaseException as error:
        # Else nobody would ever ask again.
        asked.set_exception(error)
        raise
    else:
        asked.set_result(answer)
