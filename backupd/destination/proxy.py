"""The way to a server through a proxy: HTTP CONNECT (RFC 9110 9.3.6) or SOCKS 5 (RFC 1928, login RFC 1929).

Names are looked up by the proxy, so that nothing of a destination is asked of this machine's own net. What the
environment says of proxies is not looked at.
"""

from __future__ import annotations

import socket
import struct
from base64 import b64encode
from contextlib import suppress
from ipaddress import ip_address

from backupd.clock import SystemClock
from backupd.destination.logins import parse_login
from backupd.errors import BackupError, DestinationUnreachableError, UsageError
from backupd.model.proxies import ProxyUrl, bracketed
from backupd.model.store_access import Proxy
from backupd.store_errors import ProxyLoginError, ProxyRefusedError, ProxyTargetError, ProxyUnreachableError

_MAX_HEAD_BYTES = 16 << 10
_SOCKS_WORDS = {
    1: "it failed in general",
    3: "the net is not reached",
    4: "the host is not reached",
    5: "the connection was refused",
    6: "it took too long",
    8: "it knows no such address",
}
_SOCKS_REFUSED = 2
_LOGIN_HINT = "the file of the login holds two lines: user = … and password = …"


def dial(host: str, port: int, proxy: Proxy | None, seconds: float) -> socket.socket:
    """A connection to a server; where there is a proxy, through it, in so many seconds altogether.

    Without a proxy it raises what `socket.create_connection` raises; with one ProxyUnreachableError, ProxyLoginError,
    ProxyRefusedError, ProxyTargetError.
    """
    if proxy is None:
        return socket.create_connection((host, port), seconds)
    line = ProxyLine(proxy, seconds)
    try:
        line.greet()
        line.go_to(host, port)
    except BaseException:
        line.close()
        raise
    # What is left of the time to connect is no measure of how long an answer may take.
    line.socket.settimeout(seconds)
    return line.socket


def login_of(proxy: Proxy) -> tuple[str, str] | None:
    """(user, password) for a proxy. Raises UsageError, which holds neither."""
    if proxy.login is None:
        return None
    found = parse_login(proxy.login, ("user", "password"))
    if "user" not in found or "password" not in found:
        raise UsageError("the proxy's login lacks user or password", hint=_LOGIN_HINT)
    return found["user"], found["password"]


class ProxyLine:
    """A connection to a proxy. Raises ProxyUnreachableError when it can't be made."""

    def __init__(self, proxy: Proxy, seconds: float) -> None:
        self._url, self._login = ProxyUrl.parse(proxy.url), login_of(proxy)
        self._clock = SystemClock()
        self._end = self._clock.monotonic() + seconds
        try:
            self.socket = socket.create_connection((self._url.host, self._url.port), seconds)
        except (OSError, UnicodeError) as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
            raise ProxyUnreachableError(
                f"the proxy {self._url.shown} is not reached: {why or 'this is no host name'}",
                hint="is it up, and its address right? `proxy: direct` does without one",
            ) from error
        with suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def logs_in_late(self) -> bool:
        """Whether the login is looked at only when the proxy hears where to go."""
        return self._url.scheme == "http"

    def close(self) -> None:
        """Give it up."""
        self.socket.close()

    def greet(self) -> None:
        """Log in, where the protocol has that as a step of its own. Raises ProxyLoginError, ProxyUnreachableError."""
        if self._url.scheme == "http":
            return
        self._send(b"\x05\x02\x00\x02" if self._login is not None else b"\x05\x01\x00")
        version, method = self._take(2)
        if version != 5:
            raise self._no_proxy()
        if method == 0:
            return
        if method != 2 or self._login is None:
            raise self._login_refused("it wants a login" if self._login is None else "it takes no login of this kind")
        words = [word.encode() for word in self._login]
        if not all(0 < len(word) < 256 for word in words):
            raise UsageError("the proxy's user or password is over 255 bytes", hint="SOCKS 5 has no room for more")
        self._send(b"\x01" + b"".join(bytes([len(word)]) + word for word in words))
        if self._take(2)[1]:
            raise self._login_refused("it does not take this login")

    def go_to(self, host: str, port: int) -> None:
        """Have it connect to a server. Raises ProxyLoginError, ProxyRefusedError, ProxyTargetError."""
        target = f"{bracketed(host)}:{port}"
        try:
            name = host.encode("ascii") if host.isascii() else host.encode("idna")
        except UnicodeError as error:
            raise DestinationUnreachableError(f"{host} is no host name", hint="look at its spelling") from error
        if self._url.scheme == "http":
            self._connect(b"[" + name + b"]" if b":" in name else name, port, target)
        else:
            self._ask_socks(name, port, target)

    def _connect(self, name: bytes, port: int, target: str) -> None:
        address = name + b":%d" % port
        lines = [b"CONNECT %s HTTP/1.1" % address, b"Host: %s" % address, b"User-Agent: backupd"]
        if self._login is not None:
            lines.append(b"Proxy-Authorization: Basic " + b64encode(":".join(self._login).encode()))
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise UsageError("a host's name holds a line break", hint="look at its spelling")
        self._send(b"\r\n".join([*lines, b"", b""]))
        head = b""
        # A server that speaks first does so right behind the answer: not a byte more is taken.
        while not head.endswith((b"\r\n\r\n", b"\n\n")):
            if len(head) >= _MAX_HEAD_BYTES:
                raise self._no_proxy()
            head += self._take(1)
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
            raise self._no_proxy()
        status = int(words[1])
        if status // 100 == 2:
            return
        if status == 407:
            raise self._login_refused("it wants a login" if self._login is None else "it does not take this login")
        if status in (408, 502, 503, 504):
            raise self._not_reached(target, f"HTTP {status}")
        raise self._refused(target, f"HTTP {status}")

    def _ask_socks(self, name: bytes, port: int, target: str) -> None:
        try:
            packed = ip_address(name.decode("ascii")).packed
            address = (b"\x01" if len(packed) == 4 else b"\x04") + packed
        except ValueError:
            if len(name) > 255:
                raise DestinationUnreachableError("a host's name is too long", hint="look at its spelling") from None
            address = b"\x03" + bytes([len(name)]) + name
        self._send(b"\x05\x01\x00" + address + struct.pack(">H", port))
        version, reply, _, kind = self._take(4)
        if version != 5:
            raise self._no_proxy()
        if reply == _SOCKS_REFUSED:
            raise self._refused(target, "its rules forbid it")
        if reply:
            raise self._not_reached(target, _SOCKS_WORDS.get(reply, f"reply {reply}"))
        rest = {1: 4, 4: 16}.get(kind)
        if rest is None:
            if kind != 3:
                raise self._no_proxy()
            rest = self._take(1)[0]
        self._take(rest + 2)

    def _send(self, data: bytes) -> None:
        try:
            self.socket.settimeout(self._seconds_left())
            self.socket.sendall(data)
        except OSError as error:
            raise self._broken() from error

    def _take(self, count: int) -> bytes:
        """So many bytes and no more."""
        data = b""
        while len(data) < count:
            try:
                self.socket.settimeout(self._seconds_left())
                part = self.socket.recv(count - len(data))
            except OSError as error:
                raise self._broken() from error
            if not part:
                raise self._broken()
            data += part
        return data

    def _seconds_left(self) -> float:
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _broken(self) -> BackupError:
        return ProxyUnreachableError(
            f"the proxy {self._url.shown} gives no answer", hint="is it a proxy of this kind, and not overloaded?"
        )

    def _no_proxy(self) -> BackupError:
        return ProxyUnreachableError(
            f"what answers at {self._url.shown} is no {self._url.scheme} proxy", hint="look at kind, host and port"
        )

    def _login_refused(self, why: str) -> BackupError:
        return ProxyLoginError(f"the proxy {self._url.shown}: {why}", hint=f"see its login; {_LOGIN_HINT}")

    def _refused(self, target: str, why: str) -> BackupError:
        hint = "have its rules let this port through, or reach the destination without it: `proxy: direct`"
        return ProxyRefusedError(f"the proxy {self._url.shown} lets nobody to {target}: {why}", hint=hint)

    def _not_reached(self, target: str, why: str) -> BackupError:
        hint = "is that server up, and its name known where the proxy stands?"
        return ProxyTargetError(f"the proxy {self._url.shown} does not reach {target}: {why}", hint=hint)
