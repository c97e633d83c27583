"""One FTP connection: verified TLS on both channels, bounded answers, time limits, transfers that may end early."""

from __future__ import annotations

import ftplib
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Literal

import msgspec

from backupd.destination.bounds import Deadline
from backupd.destination.contract import Buffers
from backupd.destination.ftp.replies import Replies
from backupd.destination.network_door import TimeLimits
from backupd.destination.pacing import Pace
from backupd.destination.sending import parts
from backupd.errors import DestinationRefusedError

_MAX_REPLY_LINES = 1000
_PART_BYTES = 1 << 18

Tls = Literal["explicit", "implicit", "none"]


class Server(msgspec.Struct, frozen=True):
    """Where to log in, and how."""

    host: str
    port: int
    tls: Tls
    user: str
    password: str
    context: ssl.SSLContext
    limits: TimeLimits = TimeLimits()
    pace: Pace | None = None


class Connection(ftplib.FTP_TLS):
    """A control connection that is logged in. For one thread at a time."""

    def __init__(self, server: Server) -> None:
        """Connect, verify, log in. Raises what ftplib, ssl and socket raise."""
        # Python lets OpenSSL take the end of TCP for that of TLS: anyone between can make that.
        server.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        super().__init__(context=server.context, timeout=server.limits.connect_seconds, encoding="utf-8")
        self._server = server
        self.is_between = False
        """Whether no transfer is under way, so that the next command is answered by the next reply."""
        try:
            self._connect_securely()
            self.login(server.user, server.password, secure=False)
            if server.tls != "none":
                self.prot_p()
            self.voidcmd("TYPE I")
            for wish in ("OPTS UTF8 ON", "OPTS MLST type;size;"):
                with suppress(ftplib.error_perm, ftplib.error_reply):
                    self.sendcmd(wish)
        except BaseException:
            self.close()
            raise
        self.is_between = True

    def _connect_securely(self) -> None:
        server = self._server
        self.host = server.host
        connection = socket.create_connection((server.host, server.port), server.limits.connect_seconds)
        self.af = connection.family
        if server.tls == "implicit":
            connection = self._wrapped(connection)
        self._listen_on(connection)
        self.welcome = self.getresp()
        if server.tls == "explicit":
            try:
                self.voidcmd("AUTH TLS")
            except ftplib.error_perm as error:
                raise DestinationRefusedError(
                    f"{server.host} offers no TLS", hint="have TLS switched on at the server; nothing was sent to it"
                ) from error
            # What came unencrypted after the reply is in the old one's replies, and forgotten with it.
            self._listen_on(self._wrapped(connection))
        connection = self.sock or connection
        connection.settimeout(server.limits.silence_seconds)

    def _wrapped(self, connection: socket.socket, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """With TLS.

        session: of the control connection, for a data connection: there an end that TLS does not say is an SSLEOFError.
        """
        try:
            return self._server.context.wrap_socket(
                connection, server_hostname=self.host, session=session, suppress_ragged_eofs=session is None
            )
        except BaseException:
            connection.close()
            raise

    def _listen_on(self, connection: socket.socket) -> None:
        self.sock = connection
        self._replies = Replies(connection, self._server.limits.answer_seconds)

    def getline(self) -> str:
        """A line of a reply."""
        return self._replies.line()

    def getmultiline(self) -> str:
        """A reply; no server's is without end."""
        self._replies.begin()
        lines = [self.getline()]
        code = lines[0][:3]
        while lines[0][3:4] == "-" and not (len(lines) > 1 and lines[-1][:3] == code and lines[-1][3:4] != "-"):
            if len(lines) >= _MAX_REPLY_LINES:
                raise ValueError("a reply without end")
            lines.append(self.getline())
        return "\n".join(lines)

    def size(self, filename: str) -> int:
        """Raises ftplib.error_reply for what is no answer to it: replies are out of step."""
        reply = self.sendcmd(f"SIZE {filename}")
        said = reply[3:].strip()
        if reply[:3] != "213" or not (said.isascii() and said.isdigit() and len(said) < 20):
            raise ftplib.error_reply(reply)
        return int(said)

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection with the control connection's TLS session: by that many servers know whose it is."""
        self.is_between = False
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        connection.settimeout(self._server.limits.silence_seconds)
        if isinstance(self.sock, ssl.SSLSocket):
            connection = self._wrapped(connection, self.sock.session)
        return connection, size

    def send(self, command: str, buffers: Buffers) -> None:
        """Transfer all bytes, then hear that they arrived."""
        try:
            with closing(self._begin(command)) as data:
                for part in parts(buffers, self._server.pace):
                    data.sendall(part)
                _end_sending(data, Deadline(self._server.limits.answer_seconds))
        except OSError:
            # A server that takes no more closes first, and says why afterwards.
            with suppress(OSError, EOFError, ValueError, ftplib.error_reply, ftplib.error_proto), self._patient():
                self.voidresp()
            raise
        self._hear_the_end()

    def receive(self, command: str, offset: int = 0, length: int | None = None) -> bytes:
        """Transfer bytes from `offset`, no more than `length` of them; what follows is not waited for.

        Some servers don't end TLS. The end is then believed only where the size that the server tells is reached.
        """
        pieces: list[bytes] = []
        count, is_whole, is_sure = 0, False, True
        pace, most = self._server.pace, _PART_BYTES
        with closing(self._begin(command, offset or None)) as data:
            deadline = Deadline(self._server.limits.answer_seconds)
            if pace is not None:
                pace.fit(data)
            while length is None or count <= length:
                if pace is not None:
                    most, waited = pace.may_read(_PART_BYTES)
                    deadline.waited(waited)
                try:
                    part = data.recv(most)
                except ssl.SSLEOFError:
                    part, is_sure = b"", False
                if not part:
                    is_whole = True
                    break
                if pace is not None:
                    pace.give_back(most - len(part))
                deadline.took(len(part))
                pieces.append(part)
                count += len(part)
        if is_whole:
            self._hear_the_end()
            verb, _, path = command.partition(" ")
            if not is_sure and count != length and (verb != "RETR" or self.size(path) != offset + count):
                raise ConnectionAbortedError
        else:
            self._after_early_end()
        found = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return found if length is None or count <= length else found[:length]

    def _begin(self, command: str, rest: int | None = None) -> socket.socket:
        try:
            return self.transfercmd(command, rest)
        except (ftplib.error_perm, ftplib.error_temp):
            # Refused by the reply that it waited for: nothing else is to come.
            self.is_between = True
            raise

    def _hear_the_end(self) -> None:
        try:
            self.voidresp()
        except (ftplib.error_perm, ftplib.error_temp):
            self.is_between = True
            raise
        self.is_between = True

    def _after_early_end(self) -> None:
        """Come back in step: servers tell of a closed data connection once, twice or not at all."""
        with suppress(OSError, EOFError, ValueError, ftplib.Error), self._patient():
            with suppress(ftplib.error_temp, ftplib.error_perm):
                self.getresp()
            self.is_between = self.sendcmd("NOOP").startswith("200")

    def is_alive(self, *, asked: bool) -> bool:
        """Whether the server still listens, as far as is seen; asked: by a command."""
        # Whatever comes unasked, be it the end or a farewell, spoils the order of replies.
        if self.sock is None or self._replies.has_more():
            return False
        if asked:
            try:
                with self._patient():
                    return self.sendcmd("NOOP").startswith("200")
            except (OSError, EOFError, ValueError, ftplib.Error):
                return False
        return True

    def leave(self) -> None:
        """Say good-bye where nobody waits for it."""
        with suppress(OSError, EOFError, ValueError, ftplib.Error):
            if self.is_between and self.sock is not None:
                self.sock.settimeout(1.0)
                self.sendcmd("QUIT")
        self.drop()

    def drop(self) -> None:
        """Close at once."""
        self.is_between = False
        with suppress(OSError):
            self.close()

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """For replies that come at once or never."""
        assert self.sock is not None
        self.sock.settimeout(self._server.limits.silence_seconds / 6)
        try:
            yield
        finally:
            self.sock.settimeout(self._server.limits.silence_seconds)


def _end_sending(data: socket.socket, deadline: Deadline) -> None:
    """Tell the end, and wait until the server has taken it.

    The last records of the server's TLS (session tickets) lie unread: a close over them would reset the connection and
    take what is still under way with it. Servers differ in whether they answer the end of TLS before that of TCP.
    """
    if isinstance(data, ssl.SSLSocket):
        limit = data.gettimeout()
        data.setblocking(False)
        while True:
            try:
                data.unwrap()
            except ssl.SSLWantWriteError:
                if not select.select([], [data], [], limit)[1]:
                    raise TimeoutError("timed out") from None
                continue
            except OSError:
                pass
            break
        data.settimeout(limit)
    with suppress(OSError):
        data.shutdown(socket.SHUT_WR)
        while part := data.recv(4096):
            deadline.took(len(part))
