"""A process of its own that hears of changes (`backupd.watcher`), and what it writes for debugging beside what it says.

Only there the library watchfiles tells that changes were lost: a line that is none of an ordinary change is doubt.
"""

from __future__ import annotations

import errno
import os
import re
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

from backupd.clock import SystemClock
from backupd.errors import FormatError
from backupd.model.heard import Heard, Listen
from backupd.wire.channel import Channel

_CLOCK = SystemClock()
_COMMAND = (sys.executable, "-P", "-m", "backupd.watcher")
_BEGIN_SECONDS = 120.0
"""For all to be watched: on Linux that is a walk of the sources."""
_GATHER_SECONDS = 0.1
_READ_BYTES = 1 << 18
_MOST_READS = 256
"""At once, however much is written."""
_MOST_SAID = 300
"""Characters of a line that go on to people."""
_LINE_BYTES = 1 << 16
"""Of a path with all its bytes escaped, and more."""

CHANGE = re.compile(rb"raw-event=Event \{.* change=[123]")
_HARMLESS = (b"raw-event=Access(", b"watcher: ")
"""How lines begin of what changes nothing."""


class Told(msgspec.Struct):
    """What was said meanwhile."""

    come: set[bytes] = msgspec.field(default_factory=set)
    changed: set[bytes] = msgspec.field(default_factory=set)
    is_lost: bool = False

    def __bool__(self) -> bool:
        return bool(self.come or self.changed or self.is_lost)


class Hearing:
    """Somebody who hears of changes. Not for several threads."""

    def __init__(
        self,
        trees: Sequence[bytes],
        directories: Sequence[bytes],
        *,
        milliseconds: int = 200,
        monotonic: Callable[[], float] = _CLOCK.monotonic,
    ) -> None:
        """trees: with all below them. directories: their entries alone. milliseconds: between two looks.

        Raises OSError where it can't be.
        """
        self._monotonic = monotonic
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*_COMMAND, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
            )
        assert self._process.stderr is not None
        self._errors = self._process.stderr.fileno()
        self._channel: Channel[Heard] = Channel(ours, Heard)
        self._selector = selectors.DefaultSelector()
        self._selector.register(ours, selectors.EVENT_READ)
        self._selector.register(self._errors, selectors.EVENT_READ)
        self._told = Told()
        self._messages = self._lines = 0
        self._line = b""
        """The last one, which may not be whole."""
        self._doubt = ""
        """The last line that was none of a change."""
        self._ended = ""
        try:
            self._channel.send(Listen(trees=list(trees), directories=list(directories), milliseconds=milliseconds))
            self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._selector.close()
        self._channel.close()
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def wait(self, seconds: float) -> Told:
        """What changed; empty where nothing did for that long. Raises OSError when it hears no more."""
        end, is_gathering = self._monotonic() + seconds, False
        while (left := end - self._monotonic()) > 0:
            self._hear(left)
            if self._told and not is_gathering:
                end, is_gathering = min(end, self._monotonic() + _GATHER_SECONDS), True
        told, self._told = self._told, Told()
        return told

    def _begin(self) -> None:
        end = self._monotonic() + _BEGIN_SECONDS
        while not self._messages:
            if self._monotonic() > end:
                raise OSError(errno.ETIMEDOUT, "it takes too long until all is watched")
            self._hear(1)

    def _hear(self, seconds: float) -> None:
        """Read what comes first. Raises OSError."""
        ready = {key.fd for key, _ in self._selector.select(seconds)}
        # A change's line is written before the change is told.
        if self._channel.socket.fileno() in ready:
            try:
                for heard in self._channel.receive_ready():
                    self._take(heard)
            except EOFError:
                self._read_lines()
                said = f"; it said: {self._doubt}" if self._doubt else ""
                self._ended = self._ended or f"the process that hears of changes ended{said}"
            except FormatError as error:
                self._ended = error.message
        self._read_lines()
        if self._told.come or self._told.changed:
            # Without its lines nobody would learn what was lost.
            self._told.is_lost |= not self._lines
        if self._ended:
            raise OSError(errno.EIO, self._ended)

    def _take(self, heard: Heard) -> None:
        self._messages += 1
        self._told.come.update(heard.come)
        self._told.changed.update(heard.changed)
        self._told.is_lost |= heard.is_lost
        self._ended = heard.error or self._ended

    def _read_lines(self) -> None:
        for _ in range(_MOST_READS):
            if all(key.fd != self._errors for key, _ in self._selector.select(0)):
                return
            part = os.read(self._errors, _READ_BYTES)
            if not part:
                self._selector.unregister(self._errors)
                return
            *lines, self._line = (self._line + part).split(b"\n")
            for line in lines:
                self._look_at(line)
            if len(self._line) > _LINE_BYTES:
                self._told.is_lost = True
                self._line = self._line[-_LINE_BYTES:]

    def _look_at(self, line: bytes) -> None:
        if CHANGE.fullmatch(line):
            self._lines += 1
        elif not line.startswith(_HARMLESS):
            self._told.is_lost = True
            self._doubt = line.decode(errors="backslashreplace")[:_MOST_SAID]
