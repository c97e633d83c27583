"""Mail: one connection for several letters, each to one recipient, so that what one server says of one is its alone."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from backupd.destination.logins import parse_login
from backupd.destination.proxy import dial
from backupd.destination.tls import certificate_error, verifying_context
from backupd.errors import BackupError, UsageError
from backupd.model.notice_orders import Letter, MailServer, NoticeOrder
from backupd.model.store_access import Proxy
from backupd.operations.context import JobContext
from backupd.operations.notices.messages import message_of
from backupd.operations.notices.telling import Line, Verdict, cut_when_cancelled, tell
from backupd.rules.notice_rules import shown
from backupd.settings.host import host_name

_MOST_SAID = 200


class _UnusableError(Exception):
    """The server can't be used now, for any letter."""


class _Connection(smtplib.SMTP):
    """One that is encrypted from the first byte on where the settings say `tls`, past a proxy where there is one."""

    def __init__(self, server: MailServer, secure: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        self._proxy, self._secure = proxy, secure if server.security == "tls" else None
        super().__init__(server.host, server.port, timeout=float(server.timeout_seconds))

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """What the library makes its socket with, and its own subclass for TLS has another way, too."""
        line = dial(host, port, self._proxy, timeout)
        return self._secure.wrap_socket(line, server_hostname=host) if self._secure is not None else line


class _Answer(NamedTuple):
    verdict: Verdict
    detail: str


def send(order: NoticeOrder, context: JobContext) -> None:
    """Send each letter; where the server can't be used all of them wait. Raises UsageError."""
    server = order.mail
    if server is None:
        raise UsageError("no mail server is given")
    waiting = list(order.letters)
    with cut_when_cancelled(context) as line:
        while waiting:
            try:
                with _connection(server, order.proxy, line) as connection:
                    while waiting:
                        context.cancel.check()
                        answer = _send_one(connection, server, waiting[0], context)
                        # From here to the daemon's commit is the moment in which a mail can come twice.
                        tell(context, waiting.pop(0), *answer)
            except _UnusableError as error:
                for letter in waiting:
                    tell(context, letter, "later", str(error), is_down=True)
                return
            except _LostError as lost:
                tell(context, waiting.pop(0), "later", str(lost))


class _LostError(Exception):
    """The connection broke in the middle of a letter: another one is made for the next."""


@contextmanager
def _connection(server: MailServer, proxy: Proxy | None, line: Line) -> Iterator[smtplib.SMTP]:
    """One that is ended with good manners where the server still has some. Raises _UnusableError."""
    connection = _connected(server, proxy, line)
    try:
        yield connection
        with suppress(OSError, smtplib.SMTPException):
            connection.quit()
    finally:
        connection.close()


def _connected(server: MailServer, proxy: Proxy | None, line: Line) -> smtplib.SMTP:
    """A connection that is encrypted and logged in as the settings demand. Raises _UnusableError."""
    name = f"{server.host}:{server.port}"
    try:
        secure = verifying_context(server.ca_file) if server.security != "none" else None
        connection = _Connection(server, secure, proxy)
        line.socket = connection.sock
        connection.ehlo()
        if server.security == "starttls":
            if not connection.has_extn("starttls"):
                raise _UnusableError(f"{name} offers no STARTTLS, so nothing is sent: see smtp.security")
            connection.starttls(context=secure)
            line.socket = connection.sock
            connection.ehlo()
        if server.login is not None:
            login = parse_login(server.login, ("user", "password"))
            if not login.get("user") or not login.get("password"):
                raise _UnusableError("the login of smtp is not lines of user = … and password = …")
            connection.login(login["user"], login["password"])
    except _UnusableError:
        raise
    except ssl.SSLCertVerificationError as error:
        told = certificate_error(error, name)
        raise _UnusableError(f"{told.message}; {told.hint}".replace("--ca-file", "smtp.ca_file")) from error
    except smtplib.SMTPAuthenticationError as error:
        raise _UnusableError(f"{name} refused the login: {_said(error.smtp_code, error.smtp_error)}") from error
    except BackupError as error:
        raise _UnusableError(error.message) from error
    except (OSError, smtplib.SMTPException) as error:
        raise _UnusableError(f"{name}: {_reason(error, server)}") from error
    return connection


def _send_one(
    connection: smtplib.SMTP, server: MailServer, letter: Letter, context: JobContext
) -> _Answer:
    """Raises _Lost, _UnusableError."""
    sender = server.sender or f"backupd@{_domain()}"
    try:
        message = message_of(letter, sender, context.now)
    except BackupError as error:
        return _Answer("later", error.message)
    try:
        code, said = connection.mail(sender)
        if code >= 400:
            connection.rset()
            return _Answer("later", f"{server.host} refuses mail from {sender}: {_said(code, said)}")
        code, said = connection.rcpt(letter.recipient)
        if code >= 400:
            connection.rset()
            verdict: Verdict = "refused" if code >= 500 else "later"
            return _Answer(verdict, f"{server.host} refuses {letter.recipient}: {_said(code, said)}")
        code, said = connection.data(message)
    except smtplib.SMTPDataError as error:
        with suppress(OSError, smtplib.SMTPException):
            connection.rset()
        return _refusal(server, error.smtp_code, error.smtp_error)
    except (OSError, smtplib.SMTPException) as error:
        if _is_silence(error):
            raise _UnusableError(f"{server.host}: {_reason(error, server)}") from error
        raise _LostError(f"{server.host}: {_reason(error, server)}") from error
    if code >= 400:
        return _refusal(server, code, said)
    return _Answer("sent", f"{server.host} took it: {_said(code, said)}")


def _refusal(server: MailServer, code: int, said: bytes | str) -> _Answer:
    return _Answer("refused" if code >= 500 else "later", f"{server.host} does not take it: {_said(code, said)}")


def _said(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {shown(text, _MOST_SAID)}"


def _reason(error: Exception, server: MailServer) -> str:
    if _is_silence(error):
        return f"no answer within {server.timeout_seconds} s"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "it hung up"
    if isinstance(error, smtplib.SMTPResponseException):
        return _said(error.smtp_code, error.smtp_error)
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason given'}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return shown(str(error), _MOST_SAID)


def _is_silence(error: Exception) -> bool:
    """The library tells a time-out as if the server had hung up."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def _domain() -> str:
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else f"{host_name()}.invalid"
