"""Whether the mail server that notices need is one, and greets: tried for `doctor`, without sending anything."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress

from backupd.clock import Clock
from backupd.daemon.notices.orders import way_to
from backupd.destination.proxy import dial
from backupd.destination.tls import verifying_context
from backupd.errors import BackupError, UsageError
from backupd.model.notices import NoticeText, kind_of
from backupd.model.sets import ProxyText
from backupd.model.status import Finding
from backupd.model.store_access import Proxy
from backupd.settings.mail import MailSettings

_SECONDS = 5.0
_MOST_BYTES = 512
"""A reply line may be so long (RFC 5321, 4.5.3.1.5)."""
_MEND = "are smtp.host and smtp.port right, the network up, the port open in firewalls? Then: bkctl notice test "


async def try_mail(
    server: MailSettings,
    proxy: ProxyText | None,
    notices: Iterable[NoticeText],
    clock: Clock,
    seconds: float = _SECONDS,
) -> list[Finding]:
    """A finding where notices go by mail. proxy: the daemon's. notices: all. It takes no longer than those seconds."""
    names = sorted(one.name for one in notices if one.enabled and kind_of(one.url) == "mail")
    if not names:
        return []
    whose = f"for the notice{'s' * (len(names) > 1)} {', '.join(names)}"
    if not server.host:
        message = f"none is set, {whose}: mail waits"
        mend = f"bkctl config set smtp.host mail.example.org; then: bkctl notice test {names[0]}"
        return [Finding(check="mail server", verdict="wrong", message=message, mend=mend)]
    host = f"[{server.host}]" if ":" in server.host else server.host
    check = f"mail server {host}:{server.used_port}"
    try:
        # The look-up of a name heeds no limit of a socket's.
        way = await way_to(server.host, server.proxy, proxy)
        greeting = await asyncio.wait_for(asyncio.to_thread(_greeting, server, way, clock, seconds), seconds)
    except UsageError as error:
        message, mend = f"{error.message}, {whose}", f"{error.hint}: bkctl config set smtp.ca_file"
        return [Finding(check=check, verdict="wrong", message=message, mend=mend)]
    except BackupError as error:
        mend = f"bkctl config test-proxy --to {host}:{server.used_port}; past it: bkctl config set smtp.proxy direct"
        return [Finding(check=check, verdict="wrong", message=f"{error.message}, {whose}", mend=mend)]
    except OSError as error:
        message = f"{_reason(error, server, seconds)}, {whose}"
        return [Finding(check=check, verdict="wrong", message=message, mend=f"{_MEND}{names[0]}")]
    if not greeting.startswith("220"):
        message = f"turns backupd away, {whose}: {greeting}"
        mend = f"ask who runs it, or: bkctl config set smtp.host; then: bkctl notice test {names[0]}"
        return [Finding(check=check, verdict="wrong", message=message, mend=mend)]
    return [Finding(check=check, verdict="ok", message=f"greets, {whose}")]


def _greeting(server: MailSettings, way: Proxy | None, clock: Clock, seconds: float) -> str:
    """The first line that the server says, cut. Raises OSError, of the proxy BackupError, UsageError of `ca_file`."""
    until = clock.monotonic() + seconds
    secure = verifying_context(server.ca_file) if server.security == "tls" else None
    with dial(server.host, server.used_port, way, seconds) as plain:
        if secure is None:
            return _first_line(plain, clock, until)
        with secure.wrap_socket(plain, server_hostname=server.host) as line:
            return _first_line(line, clock, until)


def _first_line(line: socket.socket, clock: Clock, until: float) -> str:
    said = b""
    while b"\n" not in said and len(said) < _MOST_BYTES:
        # A server may say one sign after the other.
        line.settimeout(max(until - clock.monotonic(), 0.01))
        more = line.recv(_MOST_BYTES - len(said))
        if not more:
            raise ConnectionResetError("it hung up without a greeting")
        said += more
    with suppress(OSError):
        line.sendall(b"QUIT\r\n")
    text = said.partition(b"\n")[0].decode("ascii", errors="replace").strip()
    return "".join(c if c.isprintable() else "?" for c in text)


def _reason(error: OSError, server: MailSettings, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        other = "" if server.security == "tls" else "; if that port speaks TLS from the first byte: smtp.security tls"
        return f"does not greet within {seconds:.0f} s{other}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"speaks no TLS, as smtp.security: tls demands: {error.reason or 'handshake failed'}"
    return f"can't be connected to: {error.strerror or error}"
