"""A command under way: its group, its time limit, what it says."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from typing import IO

from backupd.model.results import shown
from backupd.model.streams import StreamText
from backupd.operations.context import JobContext
from backupd.operations.programs.accounts import rights_of
from backupd.operations.programs.groups import REAP_SECONDS, code_of, signal_group
from backupd.operations.programs.keeper import Keeper
from backupd.operations.programs.output import Lines
from backupd.operations.streams.commands import Command
from backupd.operations.streams.fifo import Fifo
from backupd.store_errors import StreamError

_TICK_SECONDS = 0.2
_FIRST_TICK_SECONDS = 0.005
_GRACE_SECONDS = 3.0
DRAIN_SECONDS = 5.0
"""For what the command started, to end its part of the output."""
_LAST_SECONDS = 1.0
"""The same once it was killed."""
_READ_BYTES = 64 << 10
_TAIL_BYTES = 8192
_TAIL_LINES = 2
_MOST_OF_TAIL_LINE = 1000


class StreamProcess:
    """A command in a process group of its own, watched to its end by a thread: nothing of its group outlives that."""

    def __init__(
        self,
        text: StreamText,
        timeout_seconds: int,
        command: Command,
        context: JobContext,
        fifo: Fifo | None = None,
        *,
        is_told: bool = True,
    ) -> None:
        """fifo: that it writes to, where that is one; our own end of it is closed with the command's.

        is_told: whether what it says goes into the job's log; its failure has the end of it either way.
        """
        self.name, self._timeout, self._command, self._context = text.name, timeout_seconds, command, context
        self._fifo = fifo
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: Keeper | None = None
        self._code: int | None = None
        self._ended_because = ""
        self._is_unwanted = threading.Event()
        self._is_closed = threading.Event()
        self._tail = b""
        # What is ours says only what is missing; of others the failure has the end of it.
        tell = context.warn if text.system else partial(context.tell, "information", verbosity=1)
        self._lines = Lines(lambda line: tell(f"{self.name}: {line}") if is_told else None)
        self._watcher: threading.Thread | None = None

    def start(self, *, stdin: int = subprocess.DEVNULL, stdout: int, feeds: int = subprocess.DEVNULL) -> None:
        """Start it, on the job's first thread. feeds: what its standard input comes from. Raises StreamError."""
        command = self._command
        try:
            self._keeper = Keeper(command.identity, feeds)
            process = subprocess.Popen(
                command.words,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=command.environment,
                cwd="/",
                process_group=self._keeper.group,
                pass_fds=[secret.fd for secret in command.secrets],
                **rights_of(command.identity),
            )
        except (OSError, subprocess.SubprocessError) as error:
            if self._keeper is not None:
                self._keeper.dismiss()
            reason = getattr(error, "strerror", None) or str(error)
            raise StreamError(
                f"{command.program} can't be started: {reason}",
                hint="is it there, and may the user whom it runs as run it?",
            ) from error
        finally:
            command.close()
        if process.stderr is None:
            raise AssertionError("it has a pipe")
        self._process = process
        watching = (process, process.stderr)
        self._watcher = threading.Thread(target=self._watch, args=watching, name=f"stream {self.name}", daemon=True)
        self._watcher.start()

    @property
    def failure(self) -> str | None:
        """Why its output is not whole; None: it ended well. Known once its output has ended."""
        if self._ended_because:
            return self._ended_because
        code = self._code
        if code is None:
            return f"{self._command.program} has not ended"
        if code == 0:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        lines = [line.strip() for line in self._tail.split(b"\n")]
        said = "; ".join(shown(line[:_MOST_OF_TAIL_LINE]) for line in list(filter(None, lines))[-_TAIL_LINES:])
        return f"{self._command.program} {how}" + f": {said}" * bool(said)

    def end_input(self) -> None:
        """All is written that it is to read: it may see the end of that, by which a part would have passed for all."""
        if self._keeper is not None:
            self._keeper.let_go()

    def end(self, because: str) -> None:
        """Have it and all that it started ended, as failed."""
        self._ended_because = self._ended_because or because
        self._is_unwanted.set()

    def close(self) -> None:
        """Wait for its end, which is brought about where it has not come; some seconds at most."""
        if self._process is None or self._watcher is None:
            return
        if self._code is None:
            self.end(f"{self._command.program} was ended with the job")
        self._is_closed.set()
        self._watcher.join()

    def wait(self) -> None:
        """Wait until it has ended by itself, or by its time limit. Raises what the job is cancelled with."""
        while self._watcher is not None and self._watcher.is_alive():
            self._context.cancel.check()
            self._watcher.join(_TICK_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        identity = self._command.identity
        if self._keeper is not None:
            signal_group(self._keeper.group, identity.uid if identity is not None else None, number)

    def _watch(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        with stderr:
            hearing = _Hearing(stderr.fileno(), self._hear)
            code = self._until_end(process, hearing)
            if code is None:
                self._ended_because += ", but can't be killed and lives on"
            self._code = code
            if self._fifo is not None:
                self._fifo.end_writing()
            if code is not None:
                self._drain(hearing, DRAIN_SECONDS)
                if self._is_writing and not self._is_closed.is_set():
                    over = f"{DRAIN_SECONDS:.0f} s after its end"
                    self.end(f"what {self._command.program} had started still held its output open {over}")
                self._signal(signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(REAP_SECONDS)
                if self._keeper is not None:
                    self._keeper.dismiss()
                self._drain(hearing, _LAST_SECONDS)
            if self._fifo is not None and self._is_writing:
                self._fifo.give_up()
        self._lines.end()

    @property
    def _is_writing(self) -> bool:
        return self._fifo is not None and self._fifo.is_open

    def _until_end(self, process: subprocess.Popen[bytes], hearing: _Hearing) -> int | None:
        """How it ended; None: nothing ends it."""
        left, now = float(self._timeout), self._context.clock.monotonic()
        kill_at = lost_at = float("inf")
        is_ending = False
        while (code := code_of(process)) is None:
            hearing.turn()
            before, now = now, self._context.clock.monotonic()
            left -= 0 if self._context.is_paused else now - before
            if not is_ending and (reason := self._why_end(left)):
                is_ending, kill_at = True, now + _GRACE_SECONDS
                self._ended_because = self._ended_because or reason
                self._signal(signal.SIGTERM)
            elif now > kill_at:
                kill_at, lost_at = float("inf"), now + REAP_SECONDS
                self._signal(signal.SIGKILL)
            elif now > lost_at:
                return None
        return code

    def _drain(self, hearing: _Hearing, seconds: float) -> None:
        """Hear and let be written what is under way yet, until nobody needs it any more."""
        left, now = seconds, self._context.clock.monotonic()
        while (hearing.is_open or self._is_writing) and left > 0 and not self._is_closed.is_set():
            if self._context.cancel.is_requested:
                return
            hearing.turn()
            before, now = now, self._context.clock.monotonic()
            # Nobody reads what is written while the job is paused.
            left -= 0 if self._context.is_paused and self._is_writing else now - before

    def _why_end(self, left: float) -> str:
        if self._is_unwanted.is_set() or self._context.cancel.is_requested:
            return f"{self._command.program} was ended with the job"
        if left <= 0:
            return f"{self._command.program} took longer than its time limit of {self._timeout} s"
        return ""

    def _hear(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        self._lines.add(data)


class _Hearing:
    """Takes in what a command says, as long as somebody holds the pipe open."""

    def __init__(self, fd: int, hear: Callable[[bytes], None]) -> None:
        self._fd, self._hear, self._sleeping = fd, hear, threading.Event()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self.is_open = True
        self._tick_seconds = _FIRST_TICK_SECONDS

    def turn(self) -> None:
        """Wait a moment, or until something is said."""
        if not self.is_open:
            # Who has closed it mostly ends at once.
            self._sleeping.wait(self._tick_seconds)
            self._tick_seconds = min(_TICK_SECONDS, 2 * self._tick_seconds)
        elif self._poll.poll(_TICK_SECONDS * 1000):
            data = os.read(self._fd, _READ_BYTES)
            self.is_open = bool(data)
            self._hear(data)
