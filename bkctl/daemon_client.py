"""The daemon's API over its Unix socket: requests with an answer, and streams of JSON lines."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from backupd.errors import (
    AccessError,
    BackupError,
    DaemonBusyError,
    DaemonUnreachableError,
    FormatError,
    NewerVersionError,
)
from backupd.model.api import API_VERSION, Overview
from backupd.notice_errors import error_of
from backupd.wire.malformed import MALFORMED

_ANSWER_SECONDS = 60.0
_MOST_BYTES = 64 << 20
_BUSY_ATTEMPTS, _BUSY_SECONDS = 20, 0.1
_PATH_BYTES = 107
_TIMEVAL = struct.Struct("@ll")

Answer = TypeVar("Answer")


class _Failure(msgspec.Struct):
    exit: int
    error: dict[str, Any]


class DaemonClient:
    """A daemon at a socket. Each request has a connection of its own."""

    def __init__(self, path: str, start_hint: str) -> None:
        self.path, self._start_hint = path, start_hint
        self.answer_seconds = _ANSWER_SECONDS
        """How long an answer, or its beginning, may take."""

    def is_there(self) -> bool:
        """Whether someone listens."""
        try:
            self._connect().close()
        except (DaemonUnreachableError, AccessError):
            return False
        return True

    def check_version(self) -> Overview:
        """The daemon itself. Raises NewerVersionError where it speaks another version of the API."""
        overview = self.get("/v1/daemon", Overview)
        if overview.api != API_VERSION:
            raise NewerVersionError(
                f"backupd speaks version {overview.api} of its API, bkctl version {API_VERSION}",
                hint="install both of one release",
            )
        return overview

    def get(self, path: str, kind: type[Answer]) -> Answer:
        """Raises the daemon's error, DaemonUnreachableError."""
        return self.request("GET", path, None, kind)

    def request(self, method: str, path: str, body: object | None, kind: type[Answer]) -> Answer:
        """One request. Raises the daemon's error, DaemonUnreachableError."""
        answer = self._whole(method, path, body)
        try:
            return msgspec.json.decode(answer, type=kind)
        except MALFORMED as error:
            raise NewerVersionError(
                f"backupd's answer is of another version: {error}", hint="install bkctl and backupd of one release"
            ) from error

    def text(self, path: str) -> str:
        """A text. Raises the daemon's error, DaemonUnreachableError."""
        return self._whole("GET", path, None).decode(errors="replace")

    def _whole(self, method: str, path: str, body: object | None) -> bytes:
        stream = self.stream(method, path, body)
        try:
            return stream.rest()
        except OSError as error:
            raise self._lost(error) from error
        finally:
            stream.close()

    def stream(self, method: str, path: str, body: object | None) -> LineStream:
        """A request whose answer is JSON lines. Raises the daemon's error, DaemonUnreachableError.

        A daemon that has too much to do for this user has begun nothing, and is asked again for a while.
        """
        for _ in range(_BUSY_ATTEMPTS):
            try:
                return self._attempt(method, path, body)
            except DaemonBusyError:
                time.sleep(_BUSY_SECONDS)
        return self._attempt(method, path, body)

    def _attempt(self, method: str, path: str, body: object | None) -> LineStream:
        end = self._connect()
        end.settimeout(self.answer_seconds)
        data = msgspec.json.encode(body) if body is not None else b""
        # Of HTTP/1.0, so that the lines come as they are and end with the connection.
        head = f"{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        try:
            with suppress(BrokenPipeError):
                # Who refuses us may have said so before we were done.
                end.sendall(head.encode() + data)
            return LineStream(end, self.answer_seconds)
        except OSError as error:
            end.close()
            raise self._lost(error) from error
        except BaseException:
            end.close()
            raise

    def _connect(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A timeout of Python's would take the full queue of a daemon that many connect to for none at all; the kernel's
        # has us wait for our turn.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(self.answer_seconds), 0))
        try:
            self._connect_to(end)
            end.settimeout(self.answer_seconds)
        except PermissionError as error:
            end.close()
            raise AccessError(
                f"no access to {self.path}",
                hint="an administrator adds you to the group of the socket: usermod -aG backupd USER",
            ) from error
        except OSError as error:
            end.close()
            raise DaemonUnreachableError(
                f"no backupd answers at {self.path}: {error.strerror or error}", hint=self._start_hint
            ) from error
        return end

    def _connect_to(self, end: socket.socket) -> None:
        if len(os.fsencode(self.path)) <= _PATH_BYTES:
            end.connect(self.path)
            return
        directory, name = os.path.split(self.path)
        former = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(directory)
            end.connect(name)
        finally:
            os.fchdir(former)
            os.close(former)

    def _lost(self, error: Exception) -> DaemonUnreachableError:
        return DaemonUnreachableError(f"backupd went away: {error}", hint=self._start_hint)


class LineStream:
    """An answer of JSON lines, read as they come."""

    def __init__(self, end: socket.socket, answer_seconds: float) -> None:
        """Read the head. Raises the daemon's error, OSError."""
        self.socket, self._answer_seconds = end, answer_seconds
        self._buffer = bytearray()
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill(0):
                raise ConnectionError("the connection was closed")
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        status = head.split(b" ", 2)[1] if head.count(b" ") > 1 else b""
        if status != b"200":
            with suppress(ConnectionResetError):
                self.rest()
            raise failure_of(bytes(self._buffer))
        end.settimeout(None)

    def lines(self) -> Iterator[bytes]:
        """What has arrived, complete lines only; call it when the socket is readable. Raises EOFError at the end."""
        try:
            is_open = self._fill(socket.MSG_DONTWAIT)
        except BlockingIOError:
            is_open = True
        except ConnectionError:
            is_open = False
        while (at := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:at])
            del self._buffer[: at + 1]
            yield line
        if not is_open:
            raise EOFError

    def rest(self) -> bytes:
        """All that is still to come. Raises OSError."""
        self.socket.settimeout(self._answer_seconds)
        while self._fill(0):
            continue
        return bytes(self._buffer)

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _fill(self, flags: int) -> bool:
        """Read once; False at the end."""
        data = self.socket.recv(1 << 18, flags)
        self._buffer += data
        if len(self._buffer) > _MOST_BYTES:
            raise FormatError("what the daemon says is over the limit", hint="is it backupd that answers there?")
        return bool(data)


def failure_of(body: bytes) -> BackupError:
    """The error that an answer tells."""
    try:
        failure = msgspec.json.decode(body, type=_Failure)
    except MALFORMED:
        return DaemonUnreachableError("what answers at the socket is no backupd")
    found = failure.error
    error = error_of(str(found.get("code", "")), str(found.get("message", "")), str(found.get("hint", "")))
    context = found.get("context")
    if isinstance(context, dict):
        error.context.update(context)
    return error
