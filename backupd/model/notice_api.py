"""Bodies and answers of the API about notices and contacts. Addresses are shown without what may be secret in them."""

from __future__ import annotations

from backupd.model.api import Change
from backupd.model.notices import ContactText, NoticeEvent, NoticeText
from backupd.model.structs import Strict, Struct


class NoticeView(Struct, frozen=True, kw_only=True):
    """A notice."""

    id: str
    text: NoticeText
    """Its address as it is shown; given back so, it stays what it is."""
    on: list[NoticeEvent]
    """What it tells, the usual included."""
    recipients: list[str]
    """Of mail: addresses that it goes to now."""
    file: str | None
    """Of conf.d; None: made by command."""
    created_ns: int


class NoticeList(Struct, frozen=True, kw_only=True):
    """All notices, by name."""

    notices: list[NoticeView]


class NoticeChange(Struct, frozen=True, kw_only=True):
    """A notice that was made or changed."""

    notice: NoticeView
    change: Change


class EditNotice(Strict, frozen=True, kw_only=True):
    """A notice's new text."""

    text: NoticeText
    dry_run: bool = False


class TestedRecipient(Struct, frozen=True, kw_only=True):
    """What became of a test at one recipient."""

    recipient: str | None
    """E-mail address; None: the notice's own address."""
    is_sent: bool
    detail: str
    """Where it went, or why not."""


class NoticeTest(Struct, frozen=True, kw_only=True):
    """What became of a test."""

    recipients: list[TestedRecipient]


class ContactView(Struct, frozen=True, kw_only=True):
    """A contact."""

    id: str
    text: ContactText
    file: str | None
    created_ns: int


class ContactList(Struct, frozen=True, kw_only=True):
    """All contacts, by name."""

    contacts: list[ContactView]


class ContactChange(Struct, frozen=True, kw_only=True):
    """A contact that was made or changed."""

    contact: ContactView
    change: Change


class EditContact(Strict, frozen=True, kw_only=True):
    """A contact's new text."""

    text: ContactText
    dry_run: bool = False
