"""One process of a command, with all that it starts: begun, listened to, ended in time."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Literal, NamedTuple

from backupd.cancel import Cancel
from backupd.clock import Clock
from backupd.command_errors import CommandRefusedError
from backupd.operations.programs.accounts import rights_of
from backupd.operations.programs.groups import REAP_SECONDS, code_of, signal_group
from backupd.operations.programs.output import Lines
from backupd.settings.accounts import Identity

TIMEOUT_GRACE_SECONDS = 10.0
"""Between TERM and KILL."""
CANCEL_GRACE_SECONDS = 5.0
"""The same for who cancels: the job's own end is near."""
_DRAIN_SECONDS = 1.0
_TURN_SECONDS = 0.1
_PIECE_BYTES = 64 << 10


class Program(NamedTuple):
    """What is run."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    identity: Identity | None
    """None: ourselves."""


class Ended(NamedTuple):
    """How a process ended."""

    exit: int
    """As a shell has it: 128 and the number of the signal that ended it."""
    because: Literal["itself", "timeout", "cancel"]
    is_left_behind: bool
    """Whether it, or something that it started, lives on."""


def run_program(
    program: Program,
    seconds: float,
    clock: Clock,
    cancel: Cancel,
    lines: Lines,
    began: Callable[[int], None],
    grace_seconds: float = TIMEOUT_GRACE_SECONDS,
) -> Ended:
    """Run a program to its end. began: gets the id of its process group. Raises CommandRefusedError."""
    process = _start(program)
    began(process.pid)
    stream = process.stdout
    if stream is None:
        raise AssertionError("it has a pipe")
    with stream, selectors.DefaultSelector() as selector:
        running = _Running(process, program.identity, stream, selector, clock, lines)
        try:
            because = running.wait(clock.monotonic() + seconds, cancel)
            if because != "itself":
                running.end_group(min(grace_seconds, CANCEL_GRACE_SECONDS) if because == "cancel" else grace_seconds)
            is_left_behind = running.drain() and because == "itself"
        except BaseException:
            running.signal_group(signal.SIGKILL)
            raise
        finally:
            lines.end()
    try:
        code = process.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        # Stuck in the kernel, at a dead mount perhaps, or we lack the right to end it.
        return Ended(128 + signal.SIGKILL, because, is_left_behind=True)
    return Ended(code if code >= 0 else 128 - code, because, is_left_behind)


class _Running:
    """A process that was begun; its leader is reaped last, so that the id of its group is nobody else's."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        identity: Identity | None,
        stream: IO[bytes],
        selector: selectors.BaseSelector,
        clock: Clock,
        lines: Lines,
    ) -> None:
        self._identity = identity
        self._process, self._selector, self._clock, self._lines = process, selector, clock, lines
        self._descriptor = stream.fileno()
        os.set_blocking(self._descriptor, False)
        selector.register(self._descriptor, selectors.EVENT_READ)
        self._is_open = True

    def wait(self, until: float, cancel: Cancel) -> Literal["itself", "timeout", "cancel"]:
        """Until it has ended, or has to."""
        while not self._has_ended():
            if cancel.is_requested:
                return "cancel"
            if self._clock.monotonic() >= until:
                return "timeout"
            self._listen()
        return "itself"

    def end_group(self, grace_seconds: float) -> None:
        """TERM to all of the group, after a while KILL to what is left."""
        until = self._clock.monotonic() + grace_seconds
        self.signal_group(signal.SIGTERM)
        # A group that holds its pipe open is at work still, also where its leader is gone.
        while (self._is_open or not self._has_ended()) and self._clock.monotonic() < until:
            self._listen()
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to all of the group."""
        signal_group(self._process.pid, self._identity.uid if self._identity is not None else None, number)

    def drain(self) -> bool:
        """Read what is there yet; whether somebody holds the pipe open after that."""
        until = self._clock.monotonic() + _DRAIN_SECONDS
        while self._is_open and self._clock.monotonic() < until:
            self._listen()
        return self._is_open

    def _has_ended(self) -> bool:
        return code_of(self._process) is not None

    def _listen(self) -> None:
        if not self._is_open:
            # Nothing is to be heard of it any more.
            self._selector.select(_TURN_SECONDS)
            return
        if not self._selector.select(_TURN_SECONDS):
            return
        with suppress(BlockingIOError):
            data = os.read(self._descriptor, _PIECE_BYTES)
            if data:
                self._lines.add(data)
            else:
                self._selector.unregister(self._descriptor)
                self._is_open = False


def _start(program: Program) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=program.directory,
            env=dict(program.environment),
            # In our session: who ends a job at once ends its groups, too.
            process_group=0,
            **rights_of(program.identity),
        )
    except OSError as error:
        what = program.directory if error.filename == program.directory else program.argv[0]
        raise CommandRefusedError(f"{what}: {error.strerror}") from error
    except ValueError as error:
        raise CommandRefusedError(f"{program.argv[0]}: {error}") from error
