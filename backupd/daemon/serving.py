"""The HTTP server on the Unix socket: connections, heads and bodies are bounded, every error is typed."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from backupd.daemon.gate import Gate, Peer, check
from backupd.daemon.outcome import fields
from backupd.daemon.route import Call, Route
from backupd.errors import BackupError, DaemonBusyError, NotFoundError, UsageError
from backupd.wire.malformed import MALFORMED

_BODY_BYTES = 4 << 20
_READ_SECONDS = 10.0
_CONNECTIONS_A_USER = 64
_STATUSES = {2: 400, 10: 404, 11: 409, 12: 422, 14: 403, 16: 507, 17: 409, 18: 426, 22: 422}
_JSON = "application/json"

_log = logging.getLogger("backupd.api")


class Server:
    """Serves a table of routes. Start it on an event loop with `listen`."""

    def __init__(self, routes: list[Route], gate: Gate, services: Any) -> None:
        self.gate, self._services = gate, services
        self._open: Counter[int] = Counter()
        self._idle: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._application = web.Application(client_max_size=_BODY_BYTES)
        for route in routes:
            self._application.router.add_route(route.method, route.path, self._handler(route))
        self._application.router.add_route("*", "/{rest:.*}", self._unknown)
        self._runner = web.AppRunner(
            self._application, handle_signals=False, access_log=None, keepalive_timeout=_READ_SECONDS
        )
        self._servers: list[asyncio.AbstractServer] = []

    async def listen(self, end: socket.socket) -> None:
        """Serve on a bound socket."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        make = self._runner.server
        if make is None:
            raise AssertionError("the runner was set up")
        factory = make
        self._servers.append(await loop.create_unix_server(lambda: _Guarded(factory(), self), sock=end, backlog=512))

    async def close(self) -> None:
        """Take no more requests, end those under way."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    # Connections

    def arrived(self, transport: asyncio.Transport) -> Peer | None:
        """Count a connection; None: its user has too many."""
        peer = self.gate.peer(transport.get_extra_info("socket"))
        if self._open[peer.uid] >= _CONNECTIONS_A_USER:
            return None
        self._open[peer.uid] += 1
        self.wait_for_head(transport)
        return peer

    def left(self, transport: asyncio.Transport, peer: Peer) -> None:
        """A counted connection is gone."""
        self._open[peer.uid] -= 1
        self._stop_waiting(transport)

    def wait_for_head(self, transport: asyncio.Transport) -> None:
        """Give the other end so long to say what it wants."""
        self._stop_waiting(transport)
        loop = asyncio.get_running_loop()
        self._idle[transport] = loop.call_later(_READ_SECONDS, transport.abort)

    def _stop_waiting(self, transport: asyncio.Transport) -> None:
        timer = self._idle.pop(transport, None)
        if timer is not None:
            timer.cancel()

    # Requests

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            transport = request.transport
            if transport is not None:
                self._stop_waiting(transport)
            try:
                return await self._answer(route, request)
            finally:
                if transport is not None and not transport.is_closing():
                    self.wait_for_head(transport)

        return handle

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        """The one place where everything that goes wrong ends."""
        try:
            peer = self.gate.peer(request.get_extra_info("socket"))
            check(peer, route.roles)
            call = Call(self._services, peer, request, dict(request.match_info), await self._body(route, request))
            result = await route.handle(call)
            if isinstance(result, web.StreamResponse):
                return result
            return web.Response(body=msgspec.json.encode(result), content_type=_JSON)
        except BackupError as error:
            return _failed(error)
        except web.HTTPRequestEntityTooLarge:
            return _failed(UsageError(f"the body is over {_BODY_BYTES >> 20} MiB"), 413)
        except (web.HTTPException, asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the one place where a request's unknown failure ends
            _log.exception("%s %s", request.method, route.path)
            hint = "this is a defect of the program; please report it"
            return _failed(BackupError(f"{type(error).__name__}: {error}", hint=hint), 500)

    async def _body(self, route: Route, request: web.Request) -> Any:
        if route.body is None:
            return None
        try:
            data = await asyncio.wait_for(request.read(), _READ_SECONDS)
        except TimeoutError as error:
            raise UsageError("the body did not come in time", hint="send it within 10 s") from error
        try:
            return msgspec.json.decode(data or b"{}", type=route.body)
        except MALFORMED as error:
            raise UsageError(f"the body does not fit: {error}", hint=f"see {route.name} in /v1/openapi.json") from error

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        if self._is_known_path(request):
            return _failed(UsageError(f"{request.method} is not for {request.path}"), 405)
        hint = "GET /v1/openapi.json lists what there is"
        return _failed(NotFoundError(f"there is no {request.path}", hint=hint))

    def _is_known_path(self, request: web.Request) -> bool:
        for resource in self._application.router.resources():
            info = resource.get_info()
            pattern = info.get("pattern")
            is_this = info.get("path") == request.path or (pattern is not None and pattern.fullmatch(request.path))
            if is_this and resource.canonical != "/{rest}":
                return True
        return False


def _failed(error: BackupError, status: int | None = None) -> web.Response:
    body = msgspec.json.encode({"exit": error.exit_code, "error": fields(error)})
    return web.Response(body=body, status=status or _STATUSES.get(error.exit_code, 422), content_type=_JSON)


class _Guarded(asyncio.Protocol):
    """A connection that is counted and timed before the HTTP protocol hears of it."""

    def __init__(self, inner: asyncio.Protocol, server: Server) -> None:
        self._inner, self._server = inner, server
        self._peer: Peer | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse a user with too many connections."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        try:
            self._peer = self._server.arrived(transport)
        except OSError:
            transport.abort()
            return
        if self._peer is None:
            body = msgspec.json.encode(
                {"exit": 11, "error": fields(DaemonBusyError(f"over {_CONNECTIONS_A_USER} connections of one user"))}
            )
            head = f"HTTP/1.1 503 Busy\r\nContent-Type: {_JSON}\r\nConnection: close\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            transport.write(head.encode() + body)
            transport.close()
            return
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        """Hand on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._inner.resume_writing()

    def connection_lost(self, error: BaseException | None) -> None:
        """Count it out and hand on."""
        if self._peer is not None and self._transport is not None:
            self._server.left(self._transport, self._peer)
            self._inner.connection_lost(error)  # type: ignore[arg-type]
