"""Worker processes: started, spoken to, found dead (DESIGN 1, 6)."""

from __future__ import annotations

import os
import select
import selectors
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from backupd.model import work
from backupd.rights import Rights
from backupd.settings import environment
from backupd.wire.channel import Channel

_SOCKET_BYTES = 1 << 20
_OWN_RIGHTS = Rights(None)


class Worker:
    """One worker process and our end of its socket."""

    def __init__(self, number: int, setup: work.Message, memory_fd: int | None, rights: Rights) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        passed = [theirs.fileno()] + ([memory_fd] if memory_fd is not None else [])
        command = [sys.executable, "-m", "backupd.worker", *map(str, passed)]
        if isinstance(setup, work.FetchSetup | work.CheckSetup):
            passed += {pace.descriptor for pace in setup.repository.access.paces()}
        self.number = number
        # It begins with our own rights and lowers them itself: a program of root's may be none that the caller may run.
        with rights.raised():
            self.process = subprocess.Popen(
                command, pass_fds=passed, stdin=subprocess.DEVNULL, env=environment.for_workers()
            )
        theirs.close()
        self.channel: Channel[work.FromWorker] = Channel(ours, work.FromWorker)
        self.has_spoken = False
        """Whether it got so far as to send something."""
        # One that was killed already is found dead when it is listened to.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(setup)

    def stop(self) -> None:
        """Close its socket, so that it ends; kill it if it does not within 10 s."""
        self.channel.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Workforce:
    """All workers of a job, and one selector over them and a wake-up socket."""

    def __init__(
        self,
        setups: Sequence[work.Message],
        memory_fd: int | None = None,
        *,
        is_lazy: bool = False,
        rights: Rights = _OWN_RIGHTS,
    ) -> None:
        """is_lazy: start none; each is started when there is work that all others have no hands for."""
        self._memory_fd, self._rights = memory_fd, rights
        self._setups = list(setups)
        self.selector = selectors.DefaultSelector()
        self.wake_receiver, self.wake_sender = socket.socketpair()
        self.wake_receiver.setblocking(False)
        self.selector.register(self.wake_receiver, selectors.EVENT_READ, None)
        self.workers: dict[int, Worker] = {}
        if not is_lazy:
            self.start_all()

    def start_all(self) -> None:
        """Start all workers that are not there."""
        for number in range(len(self._setups)):
            if number not in self.workers:
                self.start(number)

    def start(self, number: int) -> Worker:
        """Start a worker under a number whose former one is gone, if there was one."""
        worker = Worker(number, self._setups[number], self._memory_fd, self._rights)
        self.workers[number] = worker
        self.selector.register(worker.channel.socket, selectors.EVENT_READ, worker)
        return worker

    def bury(self, worker: Worker) -> int:
        """Take a dead worker out; returns its exit status (negative: the signal)."""
        self.selector.unregister(worker.channel.socket)
        worker.channel.close()
        try:
            status = worker.process.wait(10)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            status = worker.process.wait()
        del self.workers[worker.number]
        return status

    def ready(self, timeout: float | None) -> list[Worker]:
        """Workers with something to say; empty when only the wake-up socket or the time-out ended the wait."""
        found: list[Worker] = []
        for key, _ in self.selector.select(timeout):
            if key.data is None:
                try:
                    self.wake_receiver.recv(4096)
                except BlockingIOError:
                    continue
            else:
                found.append(key.data)
        return found

    def wait_for_wake(self) -> None:
        """Wait until the uploader says something, a fifth of a second at most; workers wait meanwhile."""
        # Not select(2): a deep tree has more directories open than that can watch.
        poll = select.poll()
        poll.register(self.wake_receiver, select.POLLIN)
        if poll.poll(200):
            self.wake_receiver.recv(4096)

    def close(self) -> None:
        """Stop all workers."""
        for worker in self.workers.values():
            worker.channel.socket.shutdown(socket.SHUT_RDWR)
        for worker in self.workers.values():
            worker.stop()
        self.workers.clear()
        self.selector.close()
        self.wake_receiver.close()
        self.wake_sender.close()


def default_count() -> int:
    """Workers where none are asked for: one a core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
