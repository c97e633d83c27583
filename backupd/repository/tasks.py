"""Work on its way through the engine: who takes its results, and what is known of it."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from backupd.model import work
from backupd.repository.claims import Step

Task = work.FilesTask | work.RegionTask | work.StreamTask


class Sink(Protocol):
    """Who takes the results of one task."""

    def files_done(self, results: list[work.FileResult]) -> None:
        """All files of a FilesTask."""
        ...

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        """The next chunks of a region, in order, without gaps."""
        ...

    def region_done(self, result: work.FileResult) -> None:
        """The region's last chunks were given."""
        ...


class Assigned:
    """A task on its way: to be given out, or at a worker."""

    __slots__ = ("deaths", "delivered_bytes", "is_begun", "is_void", "last", "sink", "steps", "task", "worker")

    def __init__(self, task: Task, sink: Sink, deaths: int = 0) -> None:
        self.task, self.sink, self.deaths = task, sink, deaths
        self.worker = -1
        self.steps: deque[Step] = deque()
        self.last: work.RegionDone | None = None
        self.delivered_bytes = 0
        self.is_begun = False
        """Its worker said so; of those in a row at one worker only the first, and who is alone, are told of."""
        self.is_void = False


class Joined:
    """Collects the results of the halves of a task for its sink."""

    def __init__(self, sink: Sink, parts: int) -> None:
        self._sink, self._parts = sink, parts
        self._results: list[work.FileResult] = []

    def files_done(self, results: list[work.FileResult]) -> None:
        """Hand over when all parts are there."""
        self._results += results
        self._parts -= 1
        if not self._parts:
            self._sink.files_done(self._results)

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        """Halves are of small files only."""
        self._sink.region_step(ids, lengths)

    def region_done(self, result: work.FileResult) -> None:
        """Halves are of small files only."""
        self._sink.region_done(result)
