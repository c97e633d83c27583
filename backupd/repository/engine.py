"""The coordinator of a storing run: gives out work, answers what is lacking, has blocks made and sent (DESIGN 5, 6).

One thread calls everything here. Results reach a `Sink` only when all chunks they rely on are sealed, so what a sink
holds may be published after the next `drain`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import DATA
from backupd.cancel import Cancel
from backupd.chunk.identity import Identity
from backupd.clock import Clock
from backupd.errors import BackupError, error_of
from backupd.model import work
from backupd.repository.claims import Claims, Step
from backupd.repository.engine_options import EngineOptions, worker_setups
from backupd.repository.lanes import Lanes, LaneTarget
from backupd.repository.node_storing import TREE_PART, NodeStoring
from backupd.repository.redoing import again, blame, give_up, is_answered, redo
from backupd.repository.ring import RingAllocator, make_memory, map_memory, part_sizes
from backupd.repository.tasks import Assigned, Sink, Task
from backupd.repository.workforce import Worker, Workforce

_PER_WORKER = 3
"""Tasks given to a worker at once: two under way, one waiting."""
_QUEUED_MOST = 8
_IDLE_DEATHS_MOST = 8


class StoreEngine:
    """Workers, claims and the lanes to the destinations of one run."""

    def __init__(
        self,
        setup: work.RepositorySetup,
        targets: Sequence[LaneTarget],
        options: EngineOptions,
        cancel: Cancel,
        clock: Clock,
    ) -> None:
        """setup: of the repository, whose keys are the same at all targets."""
        keyring = targets[0].repository.keyring
        part, tree_part = part_sizes(keyring.configuration.block_bytes, options.workers, len(targets))
        self._memory_fd = memory_fd = make_memory(part * options.workers + tree_part)
        self._memory = map_memory(memory_fd)
        setups = worker_setups(setup, keyring.chunker_seed, options, part)
        self._workforce = Workforce(setups, memory_fd, is_lazy=True)
        self.lanes = Lanes(targets, self._memory, self._workforce.wake_sender, self._free, clock)
        self.claims = Claims(self.lanes.lacking)
        tree_ring = RingAllocator(part * options.workers, tree_part)
        self._nodes = NodeStoring(
            setup, options.compression, options.is_checked, self._memory, tree_ring, self.lanes, self.wait_for_upload
        )
        self._identity = Identity(setup.chunk_id_key)
        self._cancel = cancel
        self.grafts = options.grafts
        self._queue: deque[Assigned] = deque()
        self._assigned: dict[int, Assigned] = {}
        self._loads: dict[int, int] = dict.fromkeys(range(options.workers), 0)
        self._freed: dict[int, list[int]] = {}
        self._flushed: set[int] = set()
        self._is_flushing = False
        self._depth = 0
        self._idle_deaths = 0
        self._next_task = 0
        self.new_bytes = 0
        """Plain bytes of chunks that were lacking."""
        self.on_idle: Callable[[], None] = lambda: None
        """Called at each turn of `pump`, for progress."""
        self.on_worker_death: Callable[[str], None] = lambda _: None
        self.on_wait: Callable[[], None] = lambda: None
        """Called while `submit` waits for room: work may be drained then, so checkpoints be made."""

    # Work

    def start_first_worker(self) -> None:
        """Start it ahead of the first task, for a run that is sure to have some."""
        self._start(0)

    def submit(self, task: Task, sink: Sink) -> None:
        """Give work out, waiting while enough of it is queued. The task's number is drawn here."""
        self._queue.append(Assigned(task, sink))
        self._dispatch()
        self.pump(0)
        # Within a drain nothing is taken from the queue, so there is no use in waiting.
        while len(self._queue) > _QUEUED_MOST and not self._is_flushing:
            self.pump(None)
            if not self._depth:
                self.on_wait()

    def store_node(self, data: bytes) -> bytes:
        """Keep a node or list as a chunk of the repository's scope; gives its id."""
        chunk_id = self._identity.chunk_id(data)
        mask = self.claims.take(chunk_id)
        if mask:
            self.new_bytes += len(data)
            self._nodes.add(mask, data, chunk_id)
        return chunk_id

    def pump(self, timeout: float | None) -> None:
        """Take in what workers and the uploader say; waits for it up to `timeout` seconds, None: until something comes.

        Raises the last destination's error, or the run's stop.
        """
        self._cancel.check()
        self._depth += 1
        try:
            for worker in self._workforce.ready(timeout if timeout is not None else 0.2):
                self._listen(worker)
        finally:
            self._depth -= 1
        self.lanes.collect()
        self._send_freed()
        self._dispatch()
        self.on_idle()

    @property
    def has_work(self) -> bool:
        """Whether results are still to come."""
        return bool(self._queue or self._assigned)

    @property
    def under_way(self) -> list[Assigned]:
        """Work given out, then work that waits."""
        return [*self._assigned.values(), *self._queue]

    def finish_step(self) -> None:
        """Take in what comes next when nothing more is submitted for now; call it while `has_work`."""
        if not self._queue and self._is_stalled():
            self._flush_workers()
            self._resume()
        else:
            self.pump(None)

    def drain(self, while_still: Callable[[], None]) -> None:
        """Bring all that was answered to the destinations: workers seal, open blocks are sent and acknowledged.

        Workers begin nothing new meanwhile; `while_still` is called before they go on. A destination that is slower
        than the others is not waited for: see `flush_trees`.
        """
        self._flush_workers()
        self.flush_trees()
        while_still()
        self._resume()

    def flush_trees(self) -> None:
        """Bring the nodes stored so far to the destinations; for use within `drain`'s `while_still`.

        Of several the slow ones are waited for a while only: look at each lane's `is_idle`.
        """
        self._nodes.flush()
        self.lanes.close_open()
        self.lanes.wait_until_idle(self.wait_for_upload)

    def forget(self, blocks: Iterable[FinishedBlock]) -> None:
        """These blocks are named by index objects: claims of what no destination lacks any more are of no use."""
        for block in blocks:
            for segment in block.segments:
                lacking = self.lanes.lacking(segment.ids) if len(self.lanes.all) > 1 else b""
                if not any(lacking):
                    self.claims.forget([segment.ids])

    def end_cancelling(self) -> None:
        """From now on no request to stop interrupts: the run is at its last checkpoint."""
        self._cancel = Cancel()
        self.lanes.hurry()

    def close(self) -> None:
        """Stop workers and uploader; nothing more is stored."""
        # The uploaders' threads first: they wake us by a socket of the workforce.
        self.lanes.close()
        self._workforce.close()
        self.lanes.release()
        os.close(self._memory_fd)

    # Inside

    def _listen(self, worker: Worker) -> None:
        # What a sink does with a result may turn the pump again, and bury the very worker that is listened to.
        if self._workforce.workers.get(worker.number) is not worker:
            return
        try:
            for message in worker.channel.receive_ready():
                worker.has_spoken = True
                self._take(worker, message)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            if self._workforce.workers.get(worker.number) is worker:
                self._bury(worker)

    def _is_stalled(self) -> bool:
        """Whether all tasks are answered and only wait for open segments."""
        return all(is_answered(assigned) for assigned in self._assigned.values())

    def _flush_workers(self) -> None:
        """Have every worker seal what is open and wait; they go on after `_resume`."""
        self._flushed.clear()
        self._is_flushing = True
        for number in list(self._workforce.workers):
            self._tell(number, work.Flush())
        while len(self._flushed) < len(self._workforce.workers):
            self.pump(None)
        self._is_flushing = False

    def _resume(self) -> None:
        for number in list(self._workforce.workers):
            self._tell(number, work.Resume())

    def _tell(self, number: int, message: work.Message) -> None:
        try:
            self._workforce.workers[number].channel.send(message)
        except (BrokenPipeError, ConnectionResetError):
            # A dead worker's end is read as EOF at the next turn; what it was told is said again then.
            return

    def _dispatch(self) -> None:
        while self._queue:
            number = min(self._loads, key=self._loads.__getitem__)
            load = _PER_WORKER if self._queue[0].task.is_alone else 1
            if self._loads[number] + load > _PER_WORKER:
                return
            if number not in self._workforce.workers:
                # All others have something to do: a run of little work needs one worker, not one a core.
                self._start(number)
            assigned = self._queue.popleft()
            self._next_task += 1
            assigned.task = msgspec.structs.replace(assigned.task, task=self._next_task)
            assigned.worker = number
            self._assigned[self._next_task] = assigned
            self._loads[number] += load
            self._tell(number, assigned.task)

    def _start(self, number: int) -> None:
        self._workforce.start(number)
        self._flushed.discard(number)
        if self._is_flushing:
            self._tell(number, work.Flush())

    def _take(self, worker: Worker, message: work.FromWorker) -> None:
        match message:
            case work.Question():
                self._answer(worker, message)
            case work.Sealed():
                self._seal(worker.number, message)
            case work.FilesDone():
                self._unload(self._assigned[message.task])
                self._hold(message.task, 0, message)
            case work.RegionStep():
                self._hold(message.task, message.step, message)
            case work.RegionDone():
                assigned = self._assigned[message.task]
                self._unload(assigned)
                assigned.last = message
                self._deliver(assigned)
            case work.Begun():
                self._assigned[message.task].is_begun = True
            case work.Flushed():
                self._flushed.add(worker.number)
            case work.WorkerFailed():
                raise error_of(message.code, message.message, message.hint)
            case work.Starved():
                self.lanes.make_room(worker.number)

    def _answer(self, worker: Worker, question: work.Question) -> None:
        assigned = self._assigned[question.task]
        step = Step(assigned, question.step, worker.number)
        assigned.steps.append(step)
        masks = self.claims.ask(step, question.ids)
        self.new_bytes += sum(length for mask, length in zip(masks, question.lengths, strict=True) if mask)
        self._tell(worker.number, work.Wanted(question.task, question.step, masks))

    def _seal(self, ring_part: int, sealed: work.Sealed) -> None:
        self.lanes.add(ring_part, sealed, DATA)
        for step in self.claims.sealed(sealed.ids):
            self._deliver(step.assigned)

    def _hold(self, task: int, number: int, message: work.FilesDone | work.RegionStep) -> None:
        assigned = self._assigned[task]
        step = next((step for step in assigned.steps if step.number == number), None)
        if step is None:
            # Nothing was asked for: no content, or all of it failed.
            step = Step(assigned, number, assigned.worker)
            assigned.steps.append(step)
        step.messages.append(message)
        self._deliver(assigned)

    def _deliver(self, assigned: Assigned) -> None:
        """Give whole steps to the sink, in order; retire the task after its last."""
        if assigned.is_void:
            self._retire_void(assigned)
            return
        while assigned.steps and assigned.steps[0].messages and not assigned.steps[0].waiting:
            message = assigned.steps.popleft().messages[0]
            if isinstance(message, work.FilesDone):
                self._retire(assigned)
                assigned.sink.files_done(message.results)
                return
            assigned.delivered_bytes += sum(message.lengths)
            assigned.sink.region_step(message.ids, message.lengths)
        if assigned.last is not None and not assigned.steps and self._retire(assigned):
            assigned.sink.region_done(assigned.last.result)

    def _retire(self, assigned: Assigned) -> bool:
        """Whether it was still there: several steps of one task may become whole at once."""
        return self._assigned.pop(assigned.task.task, None) is not None

    def _retire_void(self, assigned: Assigned) -> None:
        """A task that relied on a dead worker's chunks has been answered: it is done again."""
        if is_answered(assigned) and self._retire(assigned):
            self._queue.appendleft(again(assigned, assigned.deaths))

    def _unload(self, assigned: Assigned) -> None:
        """Its worker has answered; one that was alone is no suspect any more: all of it is sealed."""
        self._loads[assigned.worker] -= _PER_WORKER if assigned.task.is_alone else 1
        if assigned.task.is_alone:
            assigned.task, assigned.deaths = msgspec.structs.replace(assigned.task, is_alone=False), 0

    def _bury(self, worker: Worker) -> None:
        status = self._workforce.bury(worker)
        self._idle_deaths = 0 if worker.has_spoken else self._idle_deaths + 1
        if self._idle_deaths > _IDLE_DEATHS_MOST:
            raise BackupError(
                f"worker processes end before they begin to work, the last one with status {status}",
                hint="is memory short, or the installation incomplete?",
            )
        self.on_worker_death(f"a worker ended with status {status}; its work is done again")
        voided = [step.assigned for step in self.claims.void(worker.number)]
        lost = [a for a in self._assigned.values() if a.worker == worker.number]
        deaths = blame(lost) if worker.has_spoken else [assigned.deaths for assigned in lost]
        for assigned in lost:
            del self._assigned[assigned.task.task]
        # The new worker takes the ring's part for empty: blocks that still lie in it must be safe before.
        self.drain_part(worker.number)
        self._loads[worker.number] = 0
        self._start(worker.number)
        given_up: list[Assigned] = []
        for assigned, count in reversed(list(zip(lost, deaths, strict=True))):
            assigned.is_void = True
            assigned.steps.clear()
            instead = list(redo(assigned, count))
            self._queue.extendleft(reversed(instead))
            if not instead:
                given_up.append(assigned)
        # Others that were answered already would wait for ever for a chunk that nobody seals.
        for assigned in (one for one in voided if not one.is_void):
            assigned.is_void = True
            self._retire_void(assigned)
        for assigned in given_up:
            give_up(assigned)

    def drain_part(self, ring_part: int) -> None:
        """Send the open blocks and wait until nothing lies in a worker's part of the ring any more."""
        self.lanes.close_open()
        while self.lanes.uses(ring_part):
            # A request to stop waits until the dead worker's place is taken.
            self._workforce.wait_for_wake()
            self.lanes.collect()
        self._freed.pop(ring_part, None)

    def wait_for_upload(self) -> None:
        """Wait a little until something was sent. Raises as `pump`."""
        self._cancel.check()
        self._workforce.wait_for_wake()
        self.lanes.collect()
        self.on_idle()

    def _free(self, ring_part: int, offset: int) -> None:
        if ring_part == TREE_PART:
            self._nodes.free(offset)
        else:
            self._freed.setdefault(ring_part, []).append(offset)

    def _send_freed(self) -> None:
        freed, self._freed = self._freed, {}
        for number, offsets in freed.items():
            self._tell(number, work.Freed(offsets))
