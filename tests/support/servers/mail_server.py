"""A mail server on 127.0.0.1 that keeps what it is given: encrypted, with a login, down and up, with bad habits."""

from __future__ import annotations

import asyncio
import email
import ssl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.servers.http_server import free_ports

Security = Literal["starttls", "tls", "none"]
USER, PASSWORD = "backupd", "correct horse"


class Received(NamedTuple):
    """A message that was acknowledged, or lost with its acknowledgement."""

    recipients: list[str]
    data: bytes
    is_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        """Taken apart."""
        found = email.message_from_bytes(self.data, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])


class _Handler:
    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        said = self._server.at_recipient.get(address, [])
        if said:
            return said.pop(0) if len(said) > 1 else said[0]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        own = self._server
        reply = own.at_data.pop(0) if own.at_data else "250 OK"
        if callable(reply) or reply.startswith("250") or reply == "drop":
            assert isinstance(envelope.content, bytes)
            own.received.append(Received(list(envelope.rcpt_tos), envelope.content, session.ssl is not None))
        if callable(reply):
            return await asyncio.to_thread(reply)
        if reply == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return reply


class MailServer:
    """In a thread of its own; the port stays the same over its ends."""

    def __init__(self, security: Security, certificate: tuple[Path, Path] | None, *, login: bool) -> None:
        (self.port,) = free_ports(1)
        self._security, self._certificate, self._login = security, certificate, login
        self._controller: Controller | None = None
        self.received: list[Received] = []
        self.at_recipient: dict[str, list[str]] = {}
        """Address -> what is said to it, one reply after the other; the last one for good."""
        self.at_data: list[str | Callable[[], str]] = []
        """What is said to the next messages; `drop`: kept, and hung up before the answer; a call: kept, and
        answered with what that gives."""

    def start(self) -> None:
        """Be up."""
        if self._controller is not None:
            return
        settings: dict[str, Any] = {}
        if self._certificate is not None and self._security != "none":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self._certificate)
            if self._security == "tls":
                settings["ssl_context"] = context
            else:
                settings |= {"tls_context": context, "require_starttls": True}
        if self._login:
            settings |= {"authenticator": _knows, "auth_required": True, "auth_require_tls": self._security != "none"}
        self._controller = Controller(_Handler(self), hostname="127.0.0.1", port=self.port, **settings)
        self._controller.start()

    def stop(self) -> None:
        """Be down."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Received]:
        """All messages, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < until, [one.subject for one in self.received]
            time.sleep(0.02)
        return list(self.received)


def _knows(_: SMTP, __: Session, ___: Envelope, mechanism: str, data: Any) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@contextmanager
def mail_server(
    security: Security = "none", certificate: tuple[Path, Path] | None = None, *, login: bool = False
) -> Generator[MailServer, None, None]:
    """One that is up until the block is left."""
    server = MailServer(security, certificate, login=login)
    server.start()
    try:
        yield server
    finally:
        server.stop()
