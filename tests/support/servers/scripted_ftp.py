"""An FTP server that answers by a script: what real ones answer seldom, and what only a hostile one does."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tests.support.servers.accepting import accepting

Script = Callable[[str, str], Iterable[bytes] | None]
"""Command and argument -> the pieces of the reply, or of what is transferred; None: the usual reply."""
_USUAL = {
    "USER": "331 password",
    "PASS": "230 in",
    "FEAT": "211-F\r\n MLST type*;size*;\r\n211 End",
    "MLST": "250-L\r\n type=dir; x\r\n250 End",
}


@contextmanager
def scripted_ftp(
    script: Script, certificate: tuple[Path, Path] | None = None, *, is_cut: bool = False
) -> Iterator[int]:
    """Serve on a port of 127.0.0.1 until the block ends.

    certificate: of the TLS that is asked for; None: without. is_cut: data connections end without the end of TLS.
    """
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    with accepting(lambda end: _Talk(script, context, is_cut).hold(end)) as port:
        yield port


class _Talk:
    """One control connection."""

    def __init__(self, script: Script, context: ssl.SSLContext | None, is_cut: bool) -> None:
        self._script, self._context, self._is_cut = script, context, is_cut

    def hold(self, end: socket.socket) -> None:
        """Until either side ends it."""
        with suppress(OSError, ValueError):
            end.sendall(b"220 hello\r\n")
            if self._context is not None:
                with end.makefile("rb", buffering=0) as lines:
                    assert lines.readline() == b"AUTH TLS\r\n"
                end.sendall(b"234 go\r\n")
                end = self._context.wrap_socket(end, server_side=True)
            with end.makefile("rb") as lines:
                for line in lines:
                    self._answer(end, *line.decode().strip().partition(" ")[::2])
        with suppress(OSError):
            end.close()

    def _answer(self, end: socket.socket, command: str, argument: str) -> None:
        said = self._script(command, argument)
        if command == "PASV":
            self._listening = socket.create_server(("127.0.0.1", 0))
            high, low = divmod(self._listening.getsockname()[1], 256)
            end.sendall(f"227 go (127,0,0,1,{high},{low})\r\n".encode())
        elif command in ("RETR", "MLSD") and said is not None:
            end.sendall(b"150 go\r\n")
            self._transfer(said)
            end.sendall(b"226 done\r\n")
        elif command == "STOR":
            end.sendall(b"150 go\r\n")
            self._transfer(None)
            for piece in said or [b"226 done\r\n"]:
                end.sendall(piece)
        else:
            for piece in said or [_USUAL.get(command, "200 ok").encode() + b"\r\n"]:
                end.sendall(piece)

    def _transfer(self, pieces: Iterable[bytes] | None) -> None:
        """Send these; None: take what comes."""
        with closing(self._listening), suppress(OSError):
            data = self._listening.accept()[0]
            if self._context is not None:
                data = self._context.wrap_socket(data, server_side=True)
            with closing(data), suppress(OSError):
                while pieces is None and data.recv(1 << 16):
                    pass
                for piece in pieces or ():
                    data.sendall(piece)
                if self._is_cut:
                    data.shutdown(socket.SHUT_RDWR)
                elif isinstance(data, ssl.SSLSocket):
                    data.unwrap()
