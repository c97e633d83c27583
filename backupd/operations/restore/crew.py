"""The worker processes of a restore: tasks handed out, two under way at each, and handed out again when one dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from backupd.cancel import Cancel
from backupd.destination.meter import Meter
from backupd.errors import BackupError, error_of
from backupd.model import work
from backupd.operations.restore.planning import TaskPlan
from backupd.repository.workforce import Worker, Workforce
from backupd.rights import Rights

UNDER_WAY = 2
_WAIT_SECONDS = 0.25
_MOST_ATTEMPTS = 3
_MOST_DEATHS = 4

Prepare = Callable[[int, TaskPlan], work.FetchTask]
"""Makes the message of a task when it goes out."""
Take = Callable[[TaskPlan, work.FetchDone | None], None]
"""Takes in what became of a task; None: three workers died of it."""


class Crew:
    """Workers and the queue of tasks before them."""

    def __init__(
        self, setup: work.FetchSetup, count: int, root_fd: int, cancel: Cancel, rights: Rights, meter: Meter
    ) -> None:
        """root_fd: of the target; workers inherit it. meter: of the place, gets what the workers count there."""
        self._meter = meter
        self._workforce = Workforce([setup] * count, root_fd, is_lazy=True, rights=rights)
        self._cancel = cancel
        self._queue: deque[TaskPlan] = deque()
        self._under_way: dict[int, dict[int, TaskPlan]] = {number: {} for number in range(count)}
        self._next_number = 0
        self._deaths = 0
        """Of workers, since one did something."""
        self.size = count

    def serve(self, prepare: Prepare, take: Take) -> None:
        """Say who makes tasks' messages and who takes in what became of them; before the first task."""
        self._prepare, self._take = prepare, take

    def add(self, task: TaskPlan) -> None:
        """Queue a task."""
        self._queue.append(task)

    @property
    def queued_count(self) -> int:
        """Tasks that wait for a worker."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether no task waits or is under way."""
        return not self._queue and not any(self._under_way.values())

    def turn(self, wait: bool) -> None:
        """Hand out tasks, take in what is done. wait: until something is done, if something is under way.

        Raises the error that ends the restore, StoppedError.
        """
        self._cancel.check()
        self._hand_out()
        is_busy = any(self._under_way.values())
        for worker in self._workforce.ready(_WAIT_SECONDS if wait and is_busy else 0):
            self._receive(worker)
        self._hand_out()

    def close(self) -> None:
        """Stop all workers."""
        self._workforce.close()

    def _hand_out(self) -> None:
        workers = self._workforce.workers
        while len(workers) < min(self.size, len(self._queue)):
            # A few files need no more than one.
            self._workforce.start(next(number for number in range(self.size) if number not in workers))
        for worker in list(workers.values()):
            mine = self._under_way[worker.number]
            while self._queue and len(mine) < UNDER_WAY:
                task = self._queue.popleft()
                number = self._next_number
                self._next_number += 1
                message = self._prepare(number, task)
                mine[number] = task
                try:
                    worker.channel.send(message)
                except OSError:
                    # It was dead before: its end of the socket tells why, and this task had no part in it.
                    del mine[number]
                    self._queue.appendleft(task)
                    break

    def _receive(self, worker: Worker) -> None:
        mine = self._under_way[worker.number]
        try:
            for message in worker.channel.receive_ready():
                if isinstance(message, work.FetchDone | work.WorkerFailed):
                    self._meter.add(message.traffic)
                if isinstance(message, work.FetchDone):
                    self._deaths = 0
                    self._take(mine.pop(message.task), message)
                elif isinstance(message, work.WorkerFailed):
                    raise error_of(message.code, message.message, message.hint)
        except (EOFError, OSError):
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        self._cancel.check()
        status = self._workforce.bury(worker)
        tasks = list(self._under_way[worker.number].values())
        self._under_way[worker.number] = {}
        self._deaths += 1
        if self._deaths > _MOST_DEATHS * self.size:
            raise BackupError(
                f"worker processes end by themselves (status {status})", hint="is memory short? Try it with --jobs 1"
            )
        if tasks:
            # The first is the one it died of; the others only stood behind it.
            tasks[0].attempts += 1
            if tasks[0].attempts >= _MOST_ATTEMPTS:
                self._take(tasks.pop(0), None)
            self._queue.extendleft(reversed(tasks))
