"""A command under way: its group, its time limit, what it says; and the FIFO that its output is read from."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from backupd.model.streams import StreamText
from backupd.operations.context import JobContext
from backupd.operations.streams.commands import Command, User
from backupd.store_errors import StreamError

_PIPE_BYTES = 1 << 20
_TICK_SECONDS = 0.2
_GRACE_SECONDS = 3.0
_MOST_LINES = 200
_MOST_LINE_BYTES = 1000
_READ_BYTES = 64 << 10


class StreamProcess:
    """A command in a process group of its own, watched by a thread until `close`."""

    def __init__(self, text: StreamText, timeout_seconds: int, command: Command, context: JobContext) -> None:
        self.name, self._timeout, self._command, self._context = text.name, timeout_seconds, command, context
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_because = ""
        self._is_closed = threading.Event()
        self._said: deque[str] = deque(maxlen=2)
        self._line_count = 0
        self._partial = b""
        self._watcher = threading.Thread(target=self._watch, name=f"stream {self.name}", daemon=True)
        self._on_end: Callable[[], None] = lambda: None

    def start(self, *, stdin: int = subprocess.DEVNULL, stdout: int, on_end: Callable[[], None]) -> None:
        """Start it, on the job's first thread. on_end: called once, on another thread, when the process has ended.

        Raises StreamError.
        """
        command, self._on_end = self._command, on_end
        user = command.user
        try:
            self._process = subprocess.Popen(
                command.words,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=command.environment,
                cwd="/",
                start_new_session=True,
                pass_fds=[secret.fd for secret in command.secrets],
                **_rights(user),
            )
        except (OSError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StreamError(
                f"{command.program} can't be started: {reason}",
                hint="is it there, and may the user whom it runs as run it?",
            ) from error
        finally:
            command.close()
        self._watcher.start()

    @property
    def failure(self) -> str | None:
        """Why its output is not whole; None: it ended well. Known once it has ended."""
        process = self._process
        if self._ended_because:
            return self._ended_because
        if process is None or process.returncode is None:
            return f"{self._command.program} has not ended"
        code = process.returncode
        if code == 0:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = f": {'; '.join(self._said)}" if self._said else ""
        return f"{self._command.program} {how}{said}"

    def end(self, because: str) -> None:
        """End it and all that it started, as failed."""
        self._ended_because = self._ended_because or because
        self._signal(signal.SIGTERM)

    def close(self) -> None:
        """Wait for its end, which is brought about where it has not come."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self.end(f"{self._command.program} was ended with the job")
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        process.wait()
        self._is_closed.set()
        self._watcher.join()

    def wait(self) -> None:
        """Wait until the process has ended by itself, or by its time limit."""
        while self._process is not None and self._process.poll() is None:
            self._context.cancel.check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TICK_SECONDS)
        # What it said last is heard before anybody asks.
        self._is_closed.set()
        self._watcher.join()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _watch(self) -> None:
        process = self._process
        if process is None or process.stderr is None:
            return
        poll = select.poll()
        poll.register(process.stderr, select.POLLIN)
        left, kill_at, now = float(self._timeout), 0.0, self._context.clock.monotonic()
        is_open, is_told = True, False
        while True:
            if is_open and poll.poll(_TICK_SECONDS * 1000):
                is_open = self._hear(process.stderr.fileno())
                if not is_open:
                    poll.unregister(process.stderr)
            elif not is_open:
                self._is_closed.wait(_TICK_SECONDS)
            before, now = now, self._context.clock.monotonic()
            left -= 0 if self._context.is_paused else now - before
            if not kill_at and (reason := self._why_end(left)):
                self.end(reason)
                kill_at = now + _GRACE_SECONDS
            elif kill_at and now > kill_at:
                self._signal(signal.SIGKILL)
            if not is_told and process.poll() is not None:
                is_told = True
                self._on_end()
            if self._is_closed.is_set() and (not is_open or not poll.poll(0)):
                break
        process.stderr.close()

    def _why_end(self, left: float) -> str:
        if self._context.cancel.is_requested:
            return f"{self._command.program} was ended with the job"
        if left <= 0:
            return f"{self._command.program} took longer than its time limit of {self._timeout} s"
        return ""

    def _hear(self, fd: int) -> bool:
        """Take in what it says; False at the end. Beyond a limit it is read and dropped: it must not wait for us."""
        data = os.read(fd, _READ_BYTES)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if not data or len(self._partial) > _MOST_LINE_BYTES:
            lines.append(self._partial)
            self._partial = b""
        for line in filter(None, (line.strip() for line in lines)):
            text = line[:_MOST_LINE_BYTES].decode(errors="backslashreplace")
            self._said.append(text)
            self._line_count += 1
            if self._line_count <= _MOST_LINES:
                self._context.tell("information", f"{self.name}: {text}")
            elif self._line_count == _MOST_LINES + 1:
                self._context.tell("information", f"{self.name}: it says more, which is left out here")
        return bool(data)


def _rights(user: User | None) -> dict[str, Any]:
    """With whose rights a child works, for good: a job that works for a caller could take its own back."""
    if os.geteuid() == 0:
        return {"user": user.uid, "group": user.gid, "extra_groups": user.groups} if user is not None else {}
    if os.getuid() != os.geteuid():
        return {"user": os.geteuid(), "group": os.getegid()}
    return {}


class Fifo:
    """The way from a command to the worker that stores what it writes."""

    def __init__(self, path: str) -> None:
        """Make it. Raises OSError."""
        self.path = path
        os.mkfifo(path, 0o600)
        # Held open by us: what is written is not lost, and does not end, before its reader and its writer are there.
        self._read_fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.write_fd: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def end_writing(self) -> None:
        """From here on the stream ends when all others have ended writing."""
        if self.write_fd is not None:
            os.close(self.write_fd)
            self.write_fd = None

    def close(self) -> None:
        """Take it away."""
        self.end_writing()
        if self._read_fd is not None:
            os.close(self._read_fd)
            self._read_fd = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
