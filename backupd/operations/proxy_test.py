"""How far one comes through a proxy: to it, past its login, to the server behind it, into TLS; each told by itself."""

from __future__ import annotations

import ssl
from contextlib import closing

from backupd.destination.connection_errors import connection_error
from backupd.destination.proxy import ProxyLine
from backupd.destination.tls import verifying_context
from backupd.errors import BackupError, UsageError
from backupd.model import events
from backupd.model.destination_orders import ProxyTestOrder
from backupd.model.proxies import ProxyUrl, bracketed
from backupd.operations.context import JobContext, error_fields
from backupd.store_errors import ProxyLoginError, ProxyUnreachableError

_SECONDS = 20.0
_STEPS = ("connection", "login", "server", "tls")
_TLS_HINT = "does that server speak TLS at this port? --no-tls leaves this out"


def run(order: ProxyTestOrder, context: JobContext) -> events.Done:
    """Try one step after the other; the one that fails ends it, with its own code and exit. Raises UsageError."""
    proxy = order.access.proxy
    if proxy is None:
        raise UsageError("no proxy is given", hint="give --proxy URL")
    good: list[str] = []
    error: BackupError | None = None
    try:
        _try(order, good)
    except BackupError as caught:
        error = caught
        if isinstance(error, ProxyUnreachableError):
            good.clear()
        elif good and "login" not in good and not isinstance(error, ProxyLoginError):
            # An HTTP proxy looks at the login when it hears where to go; what it says of the server comes after that.
            good.append("login")
    failed = next((name for name in _STEPS if name not in good), None) if error is not None else None
    told = error_fields(error) if error is not None else None
    steps = [
        {
            "name": name,
            "verdict": "good" if name in good else "failed" if name == failed else "skipped",
            "error": told if name == failed else None,
        }
        for name in _STEPS
    ]
    result: dict[str, object] = {
        "proxy": ProxyUrl.parse(proxy.url).shown,
        "to": f"{bracketed(order.host)}:{order.port}",
        "steps": steps,
    }
    exit_code = error.exit_code if error is not None else 0
    return events.Done(exit_code=exit_code, result=result, error=told, warnings=context.warnings)


def _try(order: ProxyTestOrder, good: list[str]) -> None:
    """good: gets the names of steps that went well."""
    proxy = order.access.proxy
    if proxy is None:
        return
    secure = verifying_context(order.access.ca_file) if order.tls else None
    with closing(ProxyLine(proxy, _SECONDS)) as line:
        good.append("connection")
        line.greet()
        if not line.logs_in_late:
            good.append("login")
        line.go_to(order.host, order.port)
        good += ["login"] * line.logs_in_late + ["server"]
        if secure is not None:
            _shake_hands(line, secure, order)
            good.append("tls")


def _shake_hands(line: ProxyLine, context: ssl.SSLContext, order: ProxyTestOrder) -> None:
    try:
        line.socket.settimeout(_SECONDS)
        line.socket = context.wrap_socket(line.socket, server_hostname=order.host)
    except OSError as error:
        raise connection_error(error, f"{bracketed(order.host)}:{order.port}", _TLS_HINT) from error
