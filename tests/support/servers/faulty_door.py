"""A door before an HTTP server of a test that answers wrongly now and then: errors, stalls, cuts, lost answers (D2)."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

MIX: dict[str, float] = {
    "500": 0.03,
    "503": 0.02,
    "429": 0.02,
    "reset": 0.02,
    "stall": 0.01,
    "truncated": 0.01,
    "lost answer": 0.01,
    "sent twice": 0.005,
}
"""Share of the requests that each of these happens to."""
_STALL_SECONDS = 1.5


class FaultyDoor:
    """Listens at `port` and passes requests on to a port of this machine, but for those that it is unkind to."""

    def __init__(self, target: int, random: Random, spared: str = "") -> None:
        """spared: requests with that in their path go well, and count for nothing."""
        self._random, self._lock = random, threading.Lock()
        self.is_kind = True
        self.done: Counter[str] = Counter()
        """What happened, how often."""
        door = self

        class Handler(_Handler):
            """Of this door."""

            def draw(self) -> str:
                return door.draw()

        Handler.target, Handler.spared = target, spared
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def draw(self) -> str:
        """What happens to the next request."""
        with self._lock:
            self.done["requests"] += 1
            if self.is_kind:
                return ""
            (found,) = self._random.choices([*MIX, ""], [*MIX.values(), 1 - sum(MIX.values())])
            self.done[found or "well"] += 1
            return found

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target = 0
    spared = ""

    def draw(self) -> str:
        """What happens to this request."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Any request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_spared = bool(self.spared) and self.spared in self.path
        unkind = "" if is_spared else self.draw()
        if unkind == "reset":
            self.close_connection = True
            return
        if unkind in ("500", "503", "429"):
            self._refuse(int(unkind))
            return
        if unkind == "stall":
            time.sleep(_STALL_SECONDS)
        status, headers, answer = self._ask(body)
        if unkind == "sent twice":
            status, headers, answer = self._ask(body) if self.command == "GET" else (status, headers, answer)
            if self.command != "GET":
                self._ask(body)
        if unkind == "lost answer":
            self.close_connection = True
            return
        self._answer(status, headers, answer, is_cut=unkind == "truncated" and len(answer) > 1)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            return found.status, found.getheaders(), found.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], answer: bytes, *, is_cut: bool) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(answer)))
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
        self.end_headers()
        with suppress(OSError):
            if self.command != "HEAD":
                self.wfile.write(answer[: len(answer) // 2] if is_cut else answer)
        if is_cut:
            self.close_connection = True

    def _refuse(self, status: int) -> None:
        code = {500: "InternalError", 503: "SlowDown", 429: "TooManyRequests"}[status]
        answer = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
        self.send_response_only(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
