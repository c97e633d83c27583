"""Verifies many blocks with worker processes, two blocks under way each; one that kills two workers is a problem."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from backupd.block.layout import block_name
from backupd.destination.meter import Meter
from backupd.errors import BackupError, DamageError, DestinationError
from backupd.model import work
from backupd.model.work import BlockVerdict, CheckDone, CheckSetup, CheckTask, RepositorySetup
from backupd.repository.workforce import Worker, Workforce

_UNDER_WAY = 2
_WORTH_A_WORKER_BYTES = 32 << 20
_MOST_DEATHS = 2
_MOST_DEATHS_WITHOUT_RESULT = 6


class BlockCheck:
    """The blocks to verify and who is at it. `pump` until it is done, then `close`."""

    def __init__(
        self, setup: RepositorySetup, workers: int, blocks: Iterable[tuple[bytes, int]], meter: Meter
    ) -> None:
        """blocks: (id, size by the index or 0), any number; workers are started for no more than need them.

        meter: of the place, gets what the workers count there.
        """
        self._meter = meter
        self._todo = deque(blocks)
        self._deaths: dict[bytes, int] = {}
        self._under_way: dict[int, dict[int, tuple[bytes, int]]] = {}
        self._tasks = self._deaths_in_turn = 0
        # What a further one reads in the time that its start takes; of unknown size is what no index names.
        worth = sum(size or _WORTH_A_WORKER_BYTES for _, size in self._todo) // _WORTH_A_WORKER_BYTES
        count = min(workers, len(self._todo), 1 + worth)
        self._force = Workforce([CheckSetup(setup)] * count) if count else None
        for number in range(count):
            self._under_way[number] = {}
        for worker in self.workers():
            self._feed(worker)

    @property
    def is_done(self) -> bool:
        """Whether there is a verdict on every block."""
        return not self._todo and not any(self._under_way.values())

    def pump(self, timeout: float | None = 0.0) -> list[BlockVerdict]:
        """Verdicts that have come in, waiting so many seconds for one. Raises BackupError when workers can't go on."""
        verdicts: list[BlockVerdict] = []
        if self._force is None or self.is_done:
            return verdicts
        for worker in self._force.ready(timeout):
            try:
                for message in worker.channel.receive_ready():
                    verdicts += self._take(worker, message)
            except EOFError:
                verdicts += self._bury(worker)
            else:
                self._feed(worker)
        return verdicts

    def close(self) -> None:
        """End the workers."""
        if self._force is not None:
            self._force.close()
            self._force = None

    def workers(self) -> list[Worker]:
        """Those that are at work."""
        return list(self._force.workers.values()) if self._force is not None else []

    def _feed(self, worker: Worker) -> None:
        under_way = self._under_way[worker.number]
        while self._todo and len(under_way) < _UNDER_WAY:
            self._tasks += 1
            block = self._todo.popleft()
            under_way[self._tasks] = block
            try:
                worker.channel.send(CheckTask(self._tasks, [block]))
            except (BrokenPipeError, ConnectionResetError):
                # It died; its end of the socket says so at the next turn, and its blocks go to another.
                return

    def _take(self, worker: Worker, message: object) -> list[BlockVerdict]:
        if isinstance(message, work.WorkerFailed | CheckDone):
            self._meter.add(message.traffic)
        if isinstance(message, work.WorkerFailed):
            raise DestinationError(message.message, hint=message.hint)
        if not isinstance(message, CheckDone):
            return []
        self._deaths_in_turn = 0
        self._under_way[worker.number].pop(message.task, None)
        return message.verdicts

    def _bury(self, worker: Worker) -> list[BlockVerdict]:
        """Give a dead worker's blocks to another, but for one that was at hand when two workers died."""
        force = self._force
        if force is None:
            return []
        status = force.bury(worker)
        self._deaths_in_turn += 1
        if self._deaths_in_turn >= _MOST_DEATHS_WITHOUT_RESULT:
            raise BackupError(
                f"worker processes end before they verified anything (status {status})",
                hint="is there enough memory? Try fewer workers with --jobs 1",
            )
        lost = list(self._under_way[worker.number].values())
        self._under_way[worker.number] = {}
        verdicts: list[BlockVerdict] = []
        again: list[tuple[bytes, int]] = []
        for at, block in enumerate(lost):
            block_id = block[0]
            # Tasks are done in order: the first was at hand.
            self._deaths[block_id] = self._deaths.get(block_id, 0) + (at == 0)
            if self._deaths[block_id] >= _MOST_DEATHS:
                text = f"{block_name(block_id)} could not be verified: the worker ended twice at it (status {status})"
                verdicts.append(BlockVerdict(block_id, 0, 0, [], [(DamageError.code, text)]))
            else:
                again.append(block)
        self._todo.extendleft(reversed(again))
        if not self.is_done:
            self._feed(force.start(worker.number))
        return verdicts
