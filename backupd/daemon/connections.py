"""Connections of the socket: so many a user, each with a time for its head; every refusal is a typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from backupd.daemon.gate import credentials
from backupd.daemon.outcome import fields
from backupd.daemon.web_server import web
from backupd.errors import BackupError, DaemonBusyError, UsageError

READ_SECONDS = 10.0
A_USER = 64
ALTOGETHER = 1024
_SPARED_SECONDS = 0.5
"""So long nobody is sent away for being idle: a request takes a moment to arrive."""
_STALLED_SECONDS = 5.0
JSON = "application/json"


class Connections:
    """All open connections. When a user has too many, the one that has been idle longest makes room."""

    def __init__(self) -> None:
        self._of: dict[int, set[Connection]] = {}

    def admit(self, new: Connection, transport: asyncio.Transport) -> bool:
        """Count a connection in; False when there is no room for it. Raises OSError."""
        new.uid, new.gid = credentials(transport.get_extra_info("socket"))
        of_user = self._of.setdefault(new.uid, set())
        if len(of_user) >= A_USER and not _make_room(of_user):
            return False
        if sum(map(len, self._of.values())) >= ALTOGETHER and not _make_room(max(self._of.values(), key=len)):
            return False
        of_user.add(new)
        return True

    def leave(self, old: Connection) -> None:
        """Count it out."""
        of_user = self._of.get(old.uid, set())
        of_user.discard(old)
        if not of_user:
            self._of.pop(old.uid, None)


def _make_room(connections: set[Connection]) -> bool:
    """Send away who waits longest for nothing: no request under way, else an answer that nobody reads."""
    chosen = _longest(connections, "idle_since", _SPARED_SECONDS) or _longest(
        connections, "stalled_since", _STALLED_SECONDS
    )
    if chosen is None:
        return False
    connections.discard(chosen)
    chosen.abort()
    return True


def _longest(connections: Iterable[Connection], name: str, least_seconds: float) -> Connection | None:
    latest = asyncio.get_running_loop().time() - least_seconds
    fit = [one for one in connections if (since := getattr(one, name)) is not None and since <= latest]
    return min(fit, key=lambda one: float(getattr(one, name)), default=None)


class Connection(web.RequestHandler):
    """One connection: aiohttp's, but counted, timed, and with typed errors for what is no HTTP."""

    def __init__(self, connections: Connections, manager: Any) -> None:
        """manager: of aiohttp, which knows the application."""
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            tcp_keepalive=False,
            keepalive_timeout=READ_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            max_headers=48,
            max_field_size=4096,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self.uid = self.gid = -1
        self.idle_since: float | None = None
        """While no whole request is there."""
        self.stalled_since: float | None = None
        """While the other end does not read."""
        self.stream: asyncio.Task[Any] | None = None
        """What answers with a stream; it ends with the connection."""
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse a user with too many connections."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        try:
            is_in = self._connections.admit(self, transport)
        except OSError:
            transport.abort()
            return
        if not is_in:
            busy = DaemonBusyError(
                f"{A_USER} connections of one user are all at work", hint="end some of them, or try again"
            )
            transport.write(_bare(failed(busy)))
            transport.close()
            return
        self._transport = transport
        super().connection_made(transport)
        self.wait()

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self._transport is not None:
            super().data_received(data)

    def pause_writing(self) -> None:
        """The other end does not read."""
        self.stalled_since = asyncio.get_running_loop().time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self.stalled_since = None
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        if self._transport is None:
            return
        self._connections.leave(self)
        self._transport, self.idle_since = None, None
        self._stop_deadline()
        if self.stream is not None:
            self.stream.cancel()
        super().connection_lost(exc)

    def wait(self) -> None:
        """From now on the other end has so long to say what it wants."""
        self._stop_deadline()
        if self._transport is None:
            return
        loop = asyncio.get_running_loop()
        self.idle_since = loop.time()
        self._deadline = loop.call_later(READ_SECONDS, self.abort)

    def read_on(self) -> None:
        """A head is there, the body has its own time."""
        self._stop_deadline()
        if self._transport is not None:
            self.idle_since = asyncio.get_running_loop().time()

    def work(self) -> None:
        """The request is whole and is being answered."""
        self._stop_deadline()
        self.idle_since = None

    def abort(self) -> None:
        """Send the other end away."""
        if self._transport is not None:
            self._transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Errors of aiohttp itself are typed like all others."""
        if isinstance(resp, web.HTTPException):
            resp = failed(UsageError(f"the request does not fit: {resp.reason}"), resp.status)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or not of a size that is taken."""
        if status >= 500:
            super().handle_error(request, status, exc, message)
            answer = failed(BackupError("backupd failed at this request", hint="its log says more"), status)
        else:
            hint = "what is sent is HTTP/1.1; names are 64 characters, a path and a header are short"
            answer = failed(UsageError(f"this is no HTTP request: {_first_line(message)}", hint=hint), status)
        answer.force_close()
        return answer

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


STATUSES = {2: 400, 10: 404, 11: 409, 12: 422, 14: 403, 16: 507, 17: 409, 18: 426, 22: 422}
"""Exit code -> HTTP status; all others are 422."""


def status_of(error: BackupError) -> int:
    """The HTTP status of an error."""
    return 503 if isinstance(error, DaemonBusyError) else STATUSES.get(error.exit_code, 422)


def failed(error: BackupError, status: int | None = None) -> web.Response:
    """The answer to what could not be done."""
    document = {"exit": error.exit_code, "error": fields(error)}
    try:
        body = msgspec.json.encode(document)
    except UnicodeEncodeError:
        # What the caller wrote may hold half a surrogate pair.
        body = json.dumps(document).encode().replace(b"\\ud", b"\\\\ud")
    return web.Response(body=body, status=status or status_of(error), content_type=JSON)


def _bare(response: web.Response) -> bytes:
    """An answer as bytes, where there is no request that it could belong to."""
    body = response.body if isinstance(response.body, bytes) else b""
    head = f"HTTP/1.1 {response.status} Busy\r\nContent-Type: {JSON}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _first_line(message: str | None) -> str:
    lines = (message or "").splitlines()
    return lines[0][:200].rstrip(":") if lines else "it was not understood"
