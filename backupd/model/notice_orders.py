"""Orders that send notices. Addresses and keys are secrets, and travel only here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from backupd.model.notices import NoticeContent, NoticeKind
from backupd.model.orders import Order
from backupd.model.store_access import Proxy
from backupd.model.structs import Number, Seconds, Strict

MailSecurity = Literal["starttls", "tls", "none"]


class MailServer(Strict, frozen=True, kw_only=True):
    """How mail goes out."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    security: MailSecurity
    login: bytes | None = None
    """Text with user and password."""
    sender: str
    timeout_seconds: Seconds
    ca_file: str | None = None


class Letter(Strict, frozen=True, kw_only=True):
    """One notice to one recipient."""

    id: Number
    recipient: str = ""
    """E-mail address; of other kinds empty."""
    message_id: str
    content: NoticeContent
    certificate: str | None = None
    """Absolute path: what is mailed is encrypted for it."""


class NoticeOrder(Order, frozen=True, kw_only=True, tag="notice"):
    """Send letters to a mail server, a webhook or a healthchecks address; `place` is empty.

    An item for each letter as soon as it is known what became of it: id, verdict, detail, retry_after_seconds.
    """

    kind: NoticeKind
    letters: list[Letter]
    mail: MailServer | None = None
    url: bytes = b""
    secret: bytes | None = None
    proxy: Proxy | None = None


class AppriseOrder(Order, frozen=True, kw_only=True, tag="notice_apprise"):
    """The same by Apprise."""

    letters: list[Letter]
    url: bytes
    proxy: Proxy | None = None


class CertificateOrder(Order, frozen=True, kw_only=True, tag="notice_certificates"):
    """Look at certificates: until when they hold; of contacts also whether mail can be encrypted for them."""

    paths: list[str]
    """Of contacts."""
    authorities: list[str] = []
    """Files of those that vouch for servers."""
