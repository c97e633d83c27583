"""Metrics on a port of this machine, for who can't reach the socket: `metrics.listen` of backupd.yaml.

What is served is the report alone, to anybody on this machine who connects: names of sets and destinations, no paths.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from backupd.daemon import metrics
from backupd.errors import BackupError
from backupd.settings.daemon_settings import DaemonSettings, listening_address

_MOST_AT_ONCE = 16
_HEAD_BYTES = 8 << 10
_SECONDS = 5.0

_log = logging.getLogger("backupd.metrics")


class MetricsPort:
    """Listens where the settings say, or nowhere. Everything runs on the event loop."""

    def __init__(self, render: Callable[[], Awaitable[str]]) -> None:
        """render: the text to serve. Raises BackupError."""
        self._render = render
        self._wanted: str | None = None
        self._server: asyncio.Server | None = None
        self._at_work = 0
        self._changing = asyncio.Lock()
        self.problem = ""
        """Why nobody listens, though the settings say so."""

    async def adopt(self, settings: DaemonSettings) -> None:
        """Listen where new settings say."""
        async with self._changing:
            wanted = settings.metrics.listen or None
            if wanted == self._wanted:
                return
            await self._stop()
            self._wanted, self.problem = wanted, ""
            if self._wanted is None:
                return
            host, port = listening_address(self._wanted)
            try:
                self._server = await asyncio.start_server(self._serve, host, port, limit=_HEAD_BYTES)
            except OSError as error:
                self.problem = f"metrics: can't listen on {self._wanted}: {error.strerror or error}"
                _log.error("%s", self.problem)

    async def close(self) -> None:
        """Listen no longer."""
        async with self._changing:
            await self._stop()

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._at_work += 1
        try:
            if self._at_work <= _MOST_AT_ONCE:
                async with asyncio.timeout(_SECONDS):
                    writer.write(await self._answer(reader))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Who asks for nothing, too slowly, or too much, gets no answer.
            return
        finally:
            self._at_work -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD") or path not in (b"/metrics", b"/v1/metrics"):
            return _response("404 Not Found", "GET /metrics is all there is\n")
        try:
            body = await self._render()
        except BackupError as error:
            return _response("503 Service Unavailable", f"{error.message}\n")
        return _response("200 OK", body, is_head=method == b"HEAD")


def _response(status: str, body: str, *, is_head: bool = False) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {metrics.CONTENT_TYPE}; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else data)
