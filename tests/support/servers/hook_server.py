"""An HTTP server on 127.0.0.1 that keeps what is posted to it, and answers as it is told."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Posted(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Answer(NamedTuple):
    """What is said to a request."""

    status: int = 200
    headers: dict[str, str] = {}


class HookServer:
    """In threads of its own."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.posted: list[Posted] = []
        self.answers: list[Answer] = []
        """To the next requests; 200 to all after them."""
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802 - the library's name
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = own.answers.pop(0) if own.answers else Answer()
                headers = {name.lower(): value for name, value in self.headers.items()}
                own.posted.append(Posted(self.path, headers, body))
                self.send_response(answer.status)
                for name, value in {"Content-Length": "0", **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Be gone."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Posted]:
        """All requests, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.posted) < count:
            assert time.monotonic() < until, self.posted
            time.sleep(0.02)
        return list(self.posted)


@contextmanager
def hook_server(certificate: tuple[Path, Path] | None = None) -> Generator[HookServer, None, None]:
    """One that is there until the block is left."""
    server = HookServer(certificate)
    try:
        yield server
    finally:
        server.close()
