"""The job process that does the work where no daemon is: started here, spoken to over one socket pair."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType

import msgspec

from backupd.errors import DaemonUnreachableError, FormatError, UsageError
from backupd.model.any_order import AnyOrder, ToJob
from backupd.model.events import FromJob
from backupd.wire.channel import MAX_MESSAGE_BYTES, Channel

_LAST_STEPS_SECONDS = 10
"""A job that said its last word still gives back locks; who comes next must find them free."""


def check_sendable(order: AnyOrder) -> None:
    """Refuse an order that can't be sent, before anything is started.

    Raises UsageError for text that is not UTF-8, or a list of paths over the limit of a message.
    """
    try:
        size = len(msgspec.msgpack.encode(order))
    except UnicodeEncodeError as error:
        raise UsageError("a name on the command line is not UTF-8", hint="only paths may have any bytes") from error
    if size > MAX_MESSAGE_BYTES:
        raise UsageError("the list of paths is too long", hint="name directories, or restore in parts")


class JobProcess:
    """A running job in a session of its own, so that the terminal's signals reach it only through us."""

    def __init__(self, command: Sequence[str], order: AnyOrder) -> None:
        """Start it and give it its order. Raises UsageError before it starts, DaemonUnreachableError."""
        check_sendable(order)
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                stderr=2,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise DaemonUnreachableError(
                f"the job process can't be started: {error.strerror}", hint="is the installation complete?"
            ) from error
        finally:
            theirs.close()
        self._channel: Channel[FromJob] = Channel(ours, FromJob)
        self._is_left = False
        self.send(order)

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        if not self._is_left:
            try:
                self._wait()
            except subprocess.TimeoutExpired:
                self.kill()

    def fileno(self) -> int:
        """The socket, for polling."""
        return self._channel.socket.fileno()

    def send(self, message: ToJob) -> None:
        """Send one message; a job that is gone is noticed at the next reading."""
        try:
            self._channel.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def events(self) -> Iterator[FromJob]:
        """What has arrived; only when the socket is readable.

        Raises EOFError after the last one, DaemonUnreachableError for what is no event.
        """
        try:
            yield from self._channel.receive_ready()
        except FormatError as error:
            raise DaemonUnreachableError(
                f"the job process speaks another protocol: {error}", hint="are bkctl and backupd of one version?"
            ) from error

    def leave(self) -> None:
        """Don't wait for the end: the job goes on, or ends, without us."""
        self._is_left = True

    def kill(self) -> None:
        """End the job and its workers at once; what they stored stays."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait(self) -> int:
        """The exit code. Raises TimeoutExpired."""
        seconds = _LAST_STEPS_SECONDS
        with suppress(AttributeError, OSError):
            # Where the system can wake who waits: `subprocess` looks twenty times a second.
            ending = os.pidfd_open(self._process.pid)
            try:
                poller = select.poll()
                poller.register(ending, select.POLLIN)
                seconds = seconds if poller.poll(1000 * seconds) else 0
            finally:
                os.close(ending)
        return self._process.wait(seconds)

    def ending(self) -> str:
        """How a job ended that said no last word, as the end of a sentence."""
        try:
            code = self._wait()
        except subprocess.TimeoutExpired:
            return "closed its socket"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit {code}"
