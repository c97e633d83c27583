"""A WebDAV server that answers by a script: what real ones answer seldom, and what only a hostile one does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress

from tests.support.servers.accepting import accepting

Script = Callable[[str, str], bytes | Iterable[bytes]]
"""Method and path -> the whole answer, or its pieces; after an empty one, or one that says so, the connection ends."""


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A plain answer."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def listing(*entries: tuple[str, str]) -> bytes:
    """A 207 of (href, properties as XML)."""
    found = "".join(
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop>"
        "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        for href, properties in entries
    )
    return answer(207, f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{found}</D:multistatus>'.encode())


FOLDER = "<D:resourcetype><D:collection/></D:resourcetype>"


@contextmanager
def scripted(script: Script) -> Iterator[int]:
    """Serve on a port of 127.0.0.1, without TLS, until the block ends."""
    def talk(end: socket.socket) -> None:
        with closing(end), suppress(OSError), end.makefile("rb") as lines:
            while words := lines.readline().split():
                length = 0
                while (line := lines.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                lines.read(length)
                said = script(words[0].decode(), words[1].decode())
                if not isinstance(said, bytes):
                    for piece in said:
                        end.sendall(piece)
                    continue
                end.sendall(said)
                if not said or b"Connection: close" in said:
                    # A close alone would leave it open while the reader holds it.
                    end.shutdown(socket.SHUT_RDWR)
                    return

    with accepting(talk) as port:
        yield port
