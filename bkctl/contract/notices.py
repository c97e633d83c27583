"""Results about notices and contacts."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from backupd.model.notices import NoticeEvent, NoticeKind
from bkctl.contract.parts import Changed, Nothing, Shown, Time

NoticeId = Annotated[str, Meta(pattern="^n[0-9a-f]{32}$")]
ContactId = Annotated[str, Meta(pattern="^c[0-9a-f]{32}$")]


class Notice(Shown, kw_only=True):
    """Whom to tell what."""

    id: NoticeId
    name: str
    kind: NoticeKind | None
    """null: only the file with the address tells."""
    url: str | None
    """Without what may be secret in it."""
    url_from: str | None
    """Where the address is read from."""
    on: list[NoticeEvent]
    sets: list[str]
    """Empty: all."""
    enabled: bool
    recipients: list[str]
    """Of mail: addresses that it goes to now."""
    secret: str | None
    """Where the key is read from that signs a webhook's body."""
    allow_plaintext: bool
    proxy: Literal["direct"] | None
    """null: past the daemon's proxy, if it has one; of mail its settings say so."""
    kept_in: str | None
    created: Time


class NoticeList(Shown, kw_only=True):
    """Of `notice list`."""

    notices: list[Notice]
    next: Nothing


class ChangedNotice(Changed, kw_only=True):
    """Of what makes, changes or forgets a notice."""

    notice: Notice


class TestedRecipient(Shown, kw_only=True):
    """What became of a test at one recipient."""

    recipient: str | None
    """E-mail address; null: the notice's own address."""
    sent: bool
    detail: str
    """Who took it, or why it was not sent."""


class TestedNotice(Shown, kw_only=True):
    """Of `notice test`."""

    notice: Notice
    recipients: list[TestedRecipient]


class Contact(Shown, kw_only=True):
    """A person who gets mail."""

    id: ContactId
    name: str
    email: str
    certificate: str | None
    encrypt: bool
    kept_in: str | None
    created: Time


class ContactList(Shown, kw_only=True):
    """Of `contact list`."""

    contacts: list[Contact]
    next: Nothing


class ChangedContact(Changed, kw_only=True):
    """Of what makes, changes or forgets a contact."""

    contact: Contact
