"""Orders of the processes that send, with the secrets that they need, read at that moment and kept nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from backupd.catalog.definitions import StoredNotice
from backupd.catalog.outbox import OutboxRow
from backupd.daemon.store_access import proxy_of
from backupd.errors import ConfigError, UsageError
from backupd.model.any_order import AnyOrder
from backupd.model.notice_orders import AppriseOrder, Letter, MailServer, NoticeOrder
from backupd.model.notices import HEALTHCHECKS, MAIL, MAIL_STEPS, ContactText, NoticeContent, NoticeText, kind_of
from backupd.model.proxies import is_this_machine
from backupd.model.sets import ProxyText
from backupd.model.store_access import Proxy
from backupd.rules.definition_rules import duration
from backupd.rules.notice_rules import certificate_at, check_url
from backupd.settings.mail import MailSettings
from backupd.settings.secrets import read_secret

_SILENT_SECONDS = 300.0


def letter_of(row: OutboxRow, contacts: Sequence[ContactText]) -> Letter:
    """A row of the outbox, as the process gets it. Raises MsgspecError for what another version wrote."""
    content = msgspec.json.decode(row.content, type=NoticeContent)
    return letter(row.id, row.recipient, row.message_id, content, contacts)


def letter(
    identity: int, recipient: str, message_id: str, content: NoticeContent, contacts: Sequence[ContactText]
) -> Letter:
    """For one recipient; encrypted for whichever contact has that address and a certificate."""
    email = recipient.removeprefix(MAIL) if recipient.startswith(MAIL) else ""
    return Letter(
        id=identity,
        recipient=email,
        message_id=message_id,
        content=content,
        certificate=certificate_at(recipient, contacts),
    )


async def mail_order(
    settings: MailSettings, letters: list[Letter], proxy: ProxyText | None = None
) -> NoticeOrder:
    """Raises ConfigError where there is no mail server, KeyMissingError."""
    if not settings.host:
        raise ConfigError(
            "no mail server is set", hint="bkctl config set smtp.host mail.example.org; docs/notices.md says more"
        )
    login = await asyncio.to_thread(read_secret, settings.login) if settings.login is not None else None
    server = MailServer(
        host=settings.host,
        port=settings.used_port,
        security=settings.security,
        login=login,
        sender=settings.sender,
        timeout_seconds=duration(settings.timeout) or 30,
        ca_file=settings.ca_file,
    )
    way = await way_to(settings.host, settings.proxy, proxy)
    return NoticeOrder(place="", kind="mail", letters=letters, mail=server, proxy=way)


async def order_to(stored: StoredNotice, letters: list[Letter], proxy: ProxyText | None = None) -> AnyOrder:
    """To the address of a notice that is no mail. Raises KeyMissingError, UsageError."""
    text = stored.text
    url = await _url(text)
    secret = await asyncio.to_thread(read_secret, text.secret) if text.secret is not None else None
    kind = kind_of(url)
    if kind == "apprise":
        # Whether it stays on this machine only Apprise knows.
        way = await way_to("", text.proxy, proxy)
        return AppriseOrder(place="", letters=letters, url=url.encode(), proxy=way)
    host = urlsplit(url.removeprefix(HEALTHCHECKS)).hostname or ""
    return NoticeOrder(
        place="",
        kind=kind,
        letters=letters,
        url=url.encode(),
        secret=secret,
        proxy=await way_to(host, text.proxy, proxy),
    )


async def way_to(host: str, choice: Literal["direct"] | None, proxy: ProxyText | None) -> Proxy | None:
    """The proxy on the way to a host, with its login; None: straight there, as to this machine itself.

    Raises KeyMissingError.
    """
    if proxy is None or choice == "direct" or is_this_machine(host):
        return None
    return await asyncio.to_thread(proxy_of, proxy)


def silent_seconds(order: AnyOrder) -> float:
    """So long nothing may be heard of a process that sends: each step of a mail may take as long as it is allowed."""
    mail = order.mail if isinstance(order, NoticeOrder) else None
    return max(_SILENT_SECONDS, MAIL_STEPS * mail.timeout_seconds if mail is not None else 0.0)


async def _url(text: NoticeText) -> str:
    url = text.url
    if text.url_from is not None:
        found = await asyncio.to_thread(read_secret, text.url_from)
        try:
            url = found.decode()
        except UnicodeDecodeError as error:
            raise UsageError("the address is no UTF-8 text", hint="is it the right file?") from error
    check_url(url, allow_plaintext=text.allow_plaintext, is_secret=text.url_from is not None)
    return url
