"""One SSH connection: reached, its host key checked, logged in, with SFTP sessions over it, all within time limits."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import msgspec
from paramiko import AuthenticationException, Channel, ChannelException, SSHException, Transport
from paramiko.ssh_exception import IncompatiblePeer

from backupd.clock import SystemClock
from backupd.destination.pacing import Pace
from backupd.destination.proxy import dial
from backupd.destination.sftp import ssh_host_keys
from backupd.destination.sftp.session import LostError, Session
from backupd.destination.sftp.ssh_host_keys import HostKey, Vouched
from backupd.destination.sftp.ssh_logins import SshLogin, log_in
from backupd.errors import DestinationUnreachableError
from backupd.model.store_access import Proxy
from backupd.store_errors import StoreAnswerError

Answer = TypeVar("Answer")
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_WINDOW_BYTES = 16 << 20
_PACKET_BYTES = 128 << 10
"""Of what the server sends: larger ones cost less, and OpenSSH sends up to 256 KiB."""
_READ_BYTES = 256 << 10
_KEEPALIVE_SECONDS = 30
_HALF_SILENCES = 10
"""How often half of the time for silence may pass without an answer, while the server itself answers."""
_POLL_SECONDS = 0.1

# Nobody reads the library's log, and without a handler its tracebacks would go to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SftpLimits(msgspec.Struct, frozen=True):
    """How long a server may take, and how many connections it gets."""

    connect_seconds: float = 20.0
    """For each step until an SFTP session stands."""
    silence_seconds: float = 60.0
    connections: int = 4
    sessions: int = 8
    """Of all connections together."""


class Server(msgspec.Struct, frozen=True):
    """Where to go, as whom, and what vouches for it."""

    place: str
    """As people wrote it."""
    host: str
    port: int
    login: SshLogin
    known: Vouched
    limits: SftpLimits
    pace: Pace | None = None
    proxy: Proxy | None = None


class SshConnection:
    """Raises, while it is made: DestinationUnreachableError, the errors of host keys and logins."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._opening = threading.RLock()
        self.sessions = 0
        """Open ones and those being opened, counted by who opens them."""
        self.has_opened = False
        """The server has given a session once."""
        self.is_full = False
        """The server gives no further session."""
        self._transport, self._line = _reach_known(server)
        try:
            with _steps(server, self._line, "login"):
                log_in(self._transport, server.login, server.place)
        except BaseException:
            self.close()
            raise
        self._transport.set_keepalive(_KEEPALIVE_SECONDS)

    @property
    def is_openssh(self) -> bool:
        """Whether the server says so of itself."""
        return self._transport.remote_version.startswith("SSH-2.0-OpenSSH")

    @property
    def is_alive(self) -> bool:
        """Whether nothing is known to be wrong."""
        return self._transport.is_active()

    def open(self) -> Session:
        """A further session. Raises ChannelException where the server gives none, DestinationUnreachableError."""
        server = self._server
        # One at a time: the library keeps one refusal for a connection, which would reach the wrong caller.
        with self._opening, _steps(server, self._line, "opening of an SFTP session"):
            channel = self._transport.open_session(_WINDOW_BYTES, _PACKET_BYTES, server.limits.connect_seconds)
            channel.settimeout(server.limits.connect_seconds)
            try:
                channel.invoke_subsystem("sftp")
            except SSHException as error:
                if not self.is_alive:
                    raise
                hint = "its sshd_config needs `Subsystem sftp internal-sftp`"
                raise StoreAnswerError(f"{server.place}: the server has no SFTP", hint=hint) from error
            session = Session(_ChannelPipe(channel, self._answers), pace=server.pace)
            channel.settimeout(server.limits.silence_seconds / 2)
        return session

    def _answers(self) -> bool:
        """Whether the server says anything when it is asked; the connection is cut where it doesn't."""
        with self._opening, _cut_after(self._line, self._server.limits.silence_seconds / 2):
            self._transport.global_request("keepalive@openssh.com", wait=True)
        return self.is_alive

    def close(self) -> None:
        """End it, whatever goes on; waits for nobody."""
        self._line.cut()
        self._transport.packetizer.complete_handshake()  # else its timer keeps the process for a while
        self._transport.close()


class _Line(socket.socket):
    """A socket read in large pieces, and given up when nothing can be sent: paramiko alone would try for ever."""

    def __init__(self, fileno: int, silence_seconds: float) -> None:
        super().__init__(fileno=fileno)
        self._silence_seconds = silence_seconds
        self._kept = memoryview(b"")
        self._clock = SystemClock()
        self._stuck_since: float | None = None

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Some bytes of what came."""
        if not self._kept:
            self._kept = memoryview(super().recv(_READ_BYTES, flags))
        data, self._kept = bytes(self._kept[:bufsize]), self._kept[bufsize:]
        return data

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        """Some bytes; OSError after too long a silence."""
        try:
            count = super().send(data, flags)
        except TimeoutError as error:
            now = self._clock.monotonic()
            if self._stuck_since is None:
                self._stuck_since = now
            elif now - self._stuck_since > self._silence_seconds:
                raise OSError("nothing more can be sent") from error
            raise
        self._stuck_since = None
        return count

    def cut(self) -> None:
        """Wake up whoever waits for it."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class _ChannelPipe:
    """A channel whose failures are LostError; a server that answers, but not here, has a slow disk and gets time."""

    def __init__(self, channel: Channel, answers: Callable[[], bool]) -> None:
        self._channel, self._answers = channel, answers

    def send(self, data: bytes | memoryview) -> int:
        # The library copies any buffer.
        count = self._patiently(lambda: self._channel.send(data))  # type: ignore[arg-type]
        if not count:
            raise LostError("the server closed the session")
        return count

    def receive(self, most: int) -> bytes:
        data = self._patiently(lambda: self._channel.recv(most))
        if not data:
            raise LostError("the server closed the session")
        return data

    def has_received(self) -> bool:
        return self._channel.recv_ready()

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        for _ in range(_HALF_SILENCES):
            try:
                return call()
            except TimeoutError as error:
                if not self._answers():
                    raise LostError("the server does not answer", is_silence=True) from error
            except (OSError, SSHException, EOFError) as error:
                raise LostError(str(error) or "the connection broke off") from error
        raise LostError("the server does not answer", is_silence=True)


def _reach_known(server: Server) -> tuple[Transport, _Line]:
    """A connection to a server whose key is vouched for; nothing is sent to another."""
    kinds = [kind for known in server.known.kinds for kind in (_RSA if known == "ssh-rsa" else (known,))]
    order = [kind for kind in dict.fromkeys([*kinds, *_KINDS, *_RSA]) if kind in (*_KINDS, *_RSA)]
    try:
        shown, transport, line = _reach(server, order)
    except _NoSuchKeyError as error:
        hint = "the server is too old or allows too little: it needs AES in CTR or GCM, SHA-2 and no DSA key"
        raise DestinationUnreachableError(f"{server.place}: {error}", hint=hint) from error
    if ssh_host_keys.is_known(shown, server.known):
        return transport, line
    _end(transport, line)
    if server.known.fingerprint is not None:
        # The fingerprint may be that of another of the server's keys.
        left = [kind for kind in order if kind != shown.kind and not (kind in _RSA and shown.kind == "ssh-rsa")]
        while left:
            try:
                other, transport, line = _reach(server, left)
            except _NoSuchKeyError:
                break
            if ssh_host_keys.is_known(other, server.known):
                return transport, line
            _end(transport, line)
            left = [kind for kind in left if kind != other.kind and not (kind in _RSA and other.kind == "ssh-rsa")]
    raise ssh_host_keys.refuse(shown, server.known, server.place)


class _NoSuchKeyError(Exception):
    """The server has no key of these kinds, or shares no cipher with us."""


def _reach(server: Server, kinds: list[str]) -> tuple[HostKey, Transport, _Line]:
    line = _dial(server)
    try:
        transport = Transport(line)
    except BaseException:
        line.close()
        raise
    try:
        options = transport.get_security_options()
        options.ciphers, options.digests, options.key_types = _CIPHERS, _MACS, tuple(kinds)
        seconds = server.limits.connect_seconds
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
        with _steps(server, line, "key exchange"):
            try:
                transport.start_client(timeout=seconds)
            except IncompatiblePeer as error:
                raise _NoSuchKeyError(str(error)) from error
            key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes()), transport, line
    except BaseException:
        _end(transport, line)
        raise


def _end(transport: Transport, line: _Line) -> None:
    line.cut()
    transport.packetizer.complete_handshake()
    transport.close()
    line.close()


def _dial(server: Server) -> _Line:
    limits = server.limits
    try:
        dialed = dial(server.host, server.port, server.proxy, limits.connect_seconds)
    except socket.gaierror as error:
        message = f"{server.place}: no address is known for {server.host}"
        raise DestinationUnreachableError(message, hint="is the name right, and the net there?") from error
    except TimeoutError as error:
        message = f"{server.place}: no answer from {server.host} port {server.port}"
        raise DestinationUnreachableError(message, hint="is the machine on, and no firewall between?") from error
    except (OSError, UnicodeError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "this is no host name"
        message = f"{server.place}: {server.host} port {server.port}: {why}"
        raise DestinationUnreachableError(message, hint="does an SSH server run there, on this port?") from error
    with suppress(OSError):
        dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Line(dialed.detach(), limits.silence_seconds)


@contextmanager
def _cut_after(line: _Line, seconds: float) -> Iterator[threading.Event]:
    """End what takes too long by cutting the line; the event tells that."""
    ran_out = threading.Event()

    def cut() -> None:
        ran_out.set()
        line.cut()

    watch = threading.Timer(seconds, cut)
    watch.daemon = True
    watch.start()
    try:
        yield ran_out
    finally:
        watch.cancel()


@contextmanager
def _steps(server: Server, line: _Line, step: str) -> Iterator[None]:
    """A step of connecting: cut when it takes too long; what the library raises is translated."""
    seconds = server.limits.connect_seconds
    with _cut_after(line, seconds) as ran_out:
        try:
            yield
        except ChannelException:
            raise
        except (SSHException, EOFError, OSError, LostError) as error:
            why = f"{step} failed: {_words(error)}"
            if ran_out.is_set():
                why = f"no end of the {step} within {seconds:.0f} s"
            hint = "is it an SSH server, and not overloaded? (sshd: MaxStartups, MaxSessions, DenyUsers)"
            raise DestinationUnreachableError(f"{server.place}: {why}", hint=hint) from error


def _words(error: Exception) -> str:
    if isinstance(error, AuthenticationException | EOFError) or not str(error):
        return "the server closed the connection"
    return "".join(letter if letter.isprintable() else "?" for letter in str(error))[:200]
