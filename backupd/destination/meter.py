"""The counter of one place: what its wrappers, its pauses and workers elsewhere add up to (model.traffic)."""

from __future__ import annotations

import threading

from backupd.model.traffic import RequestKind, Requests, Traffic


class Meter:
    """Counts; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._earlier = Traffic()
        self._begin()

    def count(self, kind: RequestKind, sent: int = 0, received: int = 0, stored: int = 0) -> None:
        """A call came to its end. sent, received: bytes of objects; stored: objects that the store took."""
        with self._lock:
            self._requests[kind] += 1
            self._sent_bytes += sent
            self._received_bytes += received
            self._stored_objects += stored

    def repeat(self, code: str, seconds: float) -> None:
        """A try failed with an error of this code and is done again after a pause."""
        with self._lock:
            self._repeated[code] = self._repeated.get(code, 0) + 1
            self._waited_seconds += seconds

    def hold_back(self, seconds: float) -> None:
        """A limit of bandwidth kept bytes waiting."""
        with self._lock:
            self._held_back_seconds += seconds

    def add(self, traffic: Traffic) -> None:
        """What a worker counted elsewhere."""
        with self._lock:
            self._earlier = self._earlier.plus(traffic)

    def read(self) -> Traffic:
        """All so far."""
        with self._lock:
            return self._sum()

    def take(self) -> Traffic:
        """All since the last take."""
        with self._lock:
            taken, self._earlier = self._sum(), Traffic()
            self._begin()
            return taken

    def _begin(self) -> None:
        self._requests: dict[RequestKind, int] = dict.fromkeys(("put", "get", "list", "size", "delete"), 0)
        self._sent_bytes = self._received_bytes = self._stored_objects = 0
        self._repeated: dict[str, int] = {}
        self._waited_seconds = self._held_back_seconds = 0.0

    def _sum(self) -> Traffic:
        return self._earlier.plus(
            Traffic(
                requests=Requests(**self._requests),
                sent_bytes=self._sent_bytes,
                received_bytes=self._received_bytes,
                stored_objects=self._stored_objects,
                repeated=dict(self._repeated),
                waited_seconds=self._waited_seconds,
                held_back_seconds=self._held_back_seconds,
            )
        )
