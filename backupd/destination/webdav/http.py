"""HTTP to a WebDAV server: connections that are kept, verified TLS, login, time limits, answers with bounds."""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from backupd.destination.bounds import MAX_OBJECT_BYTES, Deadline
from backupd.destination.connection_errors import connection_error
from backupd.destination.contract import Buffers
from backupd.destination.network_door import TimeLimits
from backupd.destination.object_names import without_secrets
from backupd.destination.pacing import Pace
from backupd.destination.proxy import dial
from backupd.destination.sending import parts
from backupd.destination.webdav.errors import answer_error
from backupd.destination.webdav.login import Login
from backupd.errors import DestinationError, DestinationUnreachableError
from backupd.model.store_access import Proxy
from backupd.store_errors import StoreAnswerError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MOST_IDLE = 8
_MAX_REST_BYTES = 1 << 20
_PART_BYTES = 1 << 16
_TLS_HINT = "does the server speak TLS at that port? webdavs:// is https"


class Server(msgspec.Struct, frozen=True):
    """Where to ask."""

    shown: str
    host: str
    port: int
    context: ssl.SSLContext | None
    """None: without TLS."""
    limits: TimeLimits
    secrets: tuple[str, ...]
    pace: Pace | None = None
    proxy: Proxy | None = None


class _TimedReader(io.RawIOBase):
    """Bytes of a socket until a deadline."""

    def __init__(self, inner: io.RawIOBase, deadline: Deadline, pace: Pace | None) -> None:
        self._inner, self._deadline, self._pace = inner, deadline, pace
        self.is_in_body = False
        """Until then more bytes give no more time: answers before the answer may come without end."""

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Some bytes. Raises TimeoutError past the deadline."""
        if self._pace is not None and self.is_in_body:
            allowed, waited = self._pace.may_read(len(memoryview(buffer)))
            self._deadline.waited(waited)
            count = self._inner.readinto(memoryview(buffer)[:allowed])
            self._pace.give_back(allowed - (count or 0))
        else:
            count = self._inner.readinto(buffer)
        self._deadline.took(count or 0 if self.is_in_body else 0)
        return count

    def close(self) -> None:
        """The socket closes with its last reader."""
        self._inner.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """Headers and body have to come in time: one byte now and then would keep off the time limit for silence."""

    def __init__(self, seconds: float, pace: Pace | None, sock: socket.socket, method: str | None = None) -> None:
        super().__init__(sock, method=method)
        if pace is not None:
            pace.fit(sock)
        self._timed = _TimedReader(self.fp.detach(), Deadline(seconds), pace)
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        self._timed.is_in_body = True


class Answer:
    """Status and headers; the body is read while the connection is held."""

    def __init__(self, inner: http.client.HTTPResponse) -> None:
        if inner.status < 200:
            # Another answer follows: on a kept connection it would be that to the next request.
            raise http.client.HTTPException
        self.status = inner.status
        self.headers = inner.headers
        self._inner = inner
        self._has_end = inner.chunked or inner.length is not None

    def parts(self) -> Iterator[bytes]:
        """The body, as it comes."""
        while part := self._inner.read(_PART_BYTES):
            yield part

    def read(self, length: int | None = None) -> bytes:
        """The body, or its next `length` bytes. Raises http.client.IncompleteRead when the connection ended before."""
        if not self._has_end:
            raise ValueError("a body whose length nobody says may have been cut")
        if length is None:
            whole = b"" if (self._inner.length or 0) > MAX_OBJECT_BYTES else self.read(MAX_OBJECT_BYTES + 1)
            if self._inner.length or len(whole) > MAX_OBJECT_BYTES:
                raise ValueError("an object without end")
            return whole
        found = self._inner.read(length)
        # Of a bounded read http.client does not say that it was short.
        if len(found) < length and self._inner.length:
            raise http.client.IncompleteRead(found, self._inner.length)
        return found

    def is_read(self) -> bool:
        """Read a rest that is not too long, so that the connection can be used again."""
        if not self._inner.isclosed():
            self._inner.read(_MAX_REST_BYTES)
        return self._inner.isclosed() and not self._inner.will_close


class Client:
    """Sends requests, from several threads."""

    def __init__(self, server: Server, login: Login) -> None:
        self._server, self._login = server, login
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def address(self, path: str) -> str:
        """A path as an absolute address, as the header Destination wants it."""
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        scheme, usual = ("http", 80) if self._server.context is None else ("https", 443)
        port = "" if self._server.port == usual else f":{self._server.port}"
        return f"{scheme}://{host}{port}{quote(path)}"

    @contextmanager
    def asked(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Buffers = ()
    ) -> Iterator[Answer]:
        """The answer to a request, whatever its status but 401.

        Raises errors of the DestinationError family for all that http.client, ssl and socket raise, in the block, too.
        """
        with self._translated():
            connection, answer = self._answered(method, path, dict(headers or {}), body)
            is_reusable = False
            try:
                if answer.status == 401:
                    raise self.error(method, answer)
                yield answer
                is_reusable = answer.is_read()
            except DestinationError:
                is_reusable = answer.is_read()
                raise
            finally:
                self._give_back(connection, is_reusable=is_reusable)

    def error(self, method: str, answer: Answer) -> DestinationError:
        """What an unwelcome answer means."""
        return self.error_of(method, answer.status, answer.headers.get("Retry-After"))

    def error_of(self, method: str, status: int, retry_after: str | None = None) -> DestinationError:
        """What an unwelcome status means."""
        return answer_error(self._server.shown, method, status, http.client.responses.get(status, ""), retry_after)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _answered(
        self, method: str, path: str, headers: dict[str, str], body: Buffers
    ) -> tuple[http.client.HTTPConnection, Answer]:
        """Ask; once more with a login where the server asks for one, or for a fresh one."""
        connection = self._take()
        try:
            answer = self._asked_once(connection, method, path, headers, body)
            challenges = answer.headers.get_all("WWW-Authenticate", [])
            if answer.status == 401 and self._login.challenged(challenges):
                if not answer.is_read():
                    connection.close()
                    connection = self._connected()
                answer = self._asked_once(connection, method, path, headers, body)
        except BaseException:
            connection.close()
            raise
        return connection, answer

    def _asked_once(
        self, connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: Buffers
    ) -> Answer:
        target = quote(path)
        words = {"Accept-Encoding": "identity", "User-Agent": "backupd", **headers}
        login = self._login.header(method, target)
        if login is not None:
            words["Authorization"] = login
        if body or method == "PUT":
            words["Content-Length"] = str(sum(map(len, body)))
        try:
            connection.request(method, target, parts(body, self._server.pace) if body else None, words)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # A server that takes no more says why, if it is still heard.
            try:
                return Answer(connection.getresponse())
            except (OSError, http.client.HTTPException):
                pass
            raise
        return Answer(connection.getresponse())

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            # Whatever came unasked, be it the end, is no answer to the next request.
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return self._connected()

    def _connected(self) -> http.client.HTTPConnection:
        server = self._server
        connection: http.client.HTTPConnection
        if server.context is None:
            connection = http.client.HTTPConnection(server.host, server.port, timeout=server.limits.connect_seconds)
        else:
            connection = http.client.HTTPSConnection(
                server.host, server.port, timeout=server.limits.connect_seconds, context=server.context
            )
        # The library's own way round a proxy sends everything on where one refuses, and knows no SOCKS.
        connection._create_connection = self._dial  # type: ignore[attr-defined]
        # Never by itself: a second connection would have no time limit of ours.
        connection.auto_open = 0
        connection.response_class = partial(  # type: ignore[assignment]  # it is only called
            _TimedResponse, server.limits.answer_seconds, server.pace
        )
        try:
            connection.connect()
            # Headers and body go in two writes: the second must not wait for the first one's receipt.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.settimeout(server.limits.silence_seconds)
        except BaseException:
            connection.close()
            raise
        return connection

    def _dial(self, address: tuple[str, int], *_: object) -> socket.socket:
        return dial(*address, self._server.proxy, self._server.limits.connect_seconds)

    def _give_back(self, connection: http.client.HTTPConnection, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        shown = self._server.shown
        try:
            yield
        except (http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
            raise DestinationUnreachableError(
                f"{shown}: the connection broke", hint="is the server up? The next run goes on from what is stored"
            ) from error
        except (OSError, EOFError) as error:
            raise connection_error(error, shown, _TLS_HINT) from error
        except http.client.HTTPException as error:
            # Its text is what the server said: it may repeat the login, in whatever form. Not chained, so that no
            # trace in a log shows it.
            raise self._not_understood(type(error).__name__) from None
        except ValueError as error:
            raise self._not_understood(without_secrets(str(error), self._server.secrets)) from error

    def _not_understood(self, reason: str) -> StoreAnswerError:
        return StoreAnswerError(
            f"{self._server.shown}: the server's answer is not understood: {reason}", hint="is it a WebDAV server?"
        )
