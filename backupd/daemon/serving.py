"""The HTTP server on the Unix socket: from a request to its handler, and every error to its typed answer."""

from __future__ import annotations

import asyncio
import difflib
import logging
import socket
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from backupd.daemon.body_reading import read_body
from backupd.daemon.connections import JSON, READ_SECONDS, Connection, Connections, failed
from backupd.daemon.gate import Gate, check
from backupd.daemon.parameters import is_repeated
from backupd.daemon.route import Call, Route
from backupd.daemon.web_server import web
from backupd.errors import BackupError, NotFoundError, UsageError

_BODY_BYTES = 4 << 20
_SMALL_BYTES = 64 << 10
_ACCEPTED_AT_ONCE, _WAITING = 8, 128
"""Connections: whoever connects waits for those before; more wait in the kernel for their turn in that queue."""
_LARGE_AT_ONCE = 4
"""Bodies over `_SMALL_BYTES` that are read at a time for one user."""

_log = logging.getLogger("backupd.api")


class Server:
    """Serves a table of routes. Start it on an event loop with `listen`."""

    def __init__(self, routes: list[Route], gate: Gate, services: Any) -> None:
        self.gate, self._services = gate, services
        self._connections = Connections()
        self._large: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_LARGE_AT_ONCE))
        self._application = web.Application(client_max_size=_BODY_BYTES)
        for route in routes:
            self._application.router.add_route(route.method, route.path, self._handler(route))
        self._application.router.add_route("*", "/{rest:.*}", self._unknown)
        self._runner = web.AppRunner(self._application, handle_signals=False, access_log=None)
        self._servers: list[asyncio.AbstractServer] = []

    async def listen(self, end: socket.socket) -> None:
        """Serve on a bound socket."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        manager = self._runner.server
        self._servers.append(
            await loop.create_unix_server(
                lambda: Connection(self._connections, manager), sock=end, backlog=_ACCEPTED_AT_ONCE
            )
        )
        # asyncio accepts as many in one go as may wait, and answers nobody meanwhile.
        end.listen(_WAITING)

    async def close(self) -> None:
        """Take no more requests, end those under way."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            connection = request.protocol
            if not isinstance(connection, Connection):
                raise TypeError("the connection is not of this server")
            connection.read_on()
            # What only reads ends with its reader; what changes something is brought to its end.
            connection.stream = asyncio.current_task() if route.answer is None else None
            try:
                return await self._answer(route, request, connection)
            finally:
                connection.stream = None
                connection.wait()

        return handle

    async def _answer(self, route: Route, request: web.Request, connection: Connection) -> web.StreamResponse:
        """The one place where everything that goes wrong ends."""
        try:
            peer = await self.gate.peer(connection.uid, connection.gid)
            check(peer, route.roles)
            _check_query(route, request)
            body = await self._body(route, request, peer.uid)
            connection.work()
            call = Call(self._services, peer, request, dict(request.match_info), body)
            result = await route.handle(call)
            if isinstance(result, web.StreamResponse):
                return result
            return web.Response(body=msgspec.json.encode(result), content_type=JSON)
        except BackupError as error:
            return failed(error)
        except web.HTTPRequestEntityTooLarge:
            return failed(UsageError(f"the body is over {_BODY_BYTES >> 20} MiB", hint="send less at a time"), 413)
        except ConnectionError:
            # Nobody is there to hear it; raised on, it would fill the log.
            return failed(UsageError("the connection was lost"))
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - the one place where a request's unknown failure ends
            _log.exception("%s %s", request.method, route.path)
            hint = "this is a defect of the program; please report it"
            return failed(BackupError(f"{type(error).__name__}: {error}", hint=hint), 500)

    async def _body(self, route: Route, request: web.Request, uid: int) -> Any:
        if route.body is None:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS):
                data = await self._read(request, uid)
        except TimeoutError as error:
            raise UsageError("the body did not come in time", hint="send it within 10 s") from error
        except web.RequestPayloadError as error:
            raise UsageError(f"the body does not fit: {error}", hint="send as much as Content-Length says") from error
        return read_body(data or b"{}", route.body, route.name)

    async def _read(self, request: web.Request, uid: int) -> bytes:
        """The whole body; few large ones at a time, so that they take little memory."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UsageError("the body is compressed", hint="send it as it is")
        if request.content_length is not None and request.content_length <= _SMALL_BYTES:
            return await request.read()
        async with self._large[uid]:
            return await request.read()

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        if self._is_known_path(request):
            hint = "GET /v1/openapi.json lists what there is"
            return failed(UsageError(f"{request.method} is not for {request.path}", hint=hint), 405)
        hint = "GET /v1/openapi.json lists what there is"
        return failed(NotFoundError(f"there is no {request.path}", hint=hint))

    def _is_known_path(self, request: web.Request) -> bool:
        for resource in self._application.router.resources():
            info = resource.get_info()
            pattern = info.get("pattern")
            is_this = info.get("path") == request.path or (pattern is not None and pattern.fullmatch(request.path))
            if is_this and resource.canonical != "/{rest}":
                return True
        return False


def _check_query(route: Route, request: web.Request) -> None:
    for name in request.query:
        if name not in route.query:
            near = difflib.get_close_matches(name, route.query, 1, 0.5)
            known = f"known here: {', '.join(route.query) or 'none'}"
            raise UsageError(f"'{name}' is not known here", hint=f"did you mean {near[0]}?" if near else known)
        if len(request.query.getall(name)) > 1 and not is_repeated(route.name, name):
            raise UsageError(f"{name} is given twice", hint="give it once")
