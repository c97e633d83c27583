"""The API's verbs on notices and contacts."""

from __future__ import annotations

from backupd.catalog.definitions import StoredContact, StoredNotice
from backupd.daemon.gate import ADMINS, Role
from backupd.daemon.route import Call, Route
from backupd.daemon.services import Services
from backupd.model.api import Change, Nothing
from backupd.model.notice_api import (
    ContactChange,
    ContactList,
    ContactView,
    EditContact,
    EditNotice,
    NoticeChange,
    NoticeList,
    NoticeTest,
    NoticeView,
)
from backupd.model.notices import MAIL, events_of, kind_of
from backupd.rules.notice_rules import recipients_of, shown_text

_READERS: tuple[Role, ...] = ("auditor", "admin")


def view(stored: StoredNotice, services: Services) -> NoticeView:
    """A notice as the API shows it."""
    every = [one.email for one in services.notices.definitions.in_force]
    is_mail = bool(stored.text.url) and kind_of(stored.text.url) == "mail"
    found = [one.removeprefix(MAIL) for one in recipients_of(stored.id, stored.text, every)] if is_mail else []
    return NoticeView(
        id=stored.id,
        text=shown_text(stored.text),
        on=events_of(stored.text),
        recipients=found,
        file=stored.file,
        created_ns=stored.created_ns,
    )


async def list_notices(call: Call) -> NoticeList:
    """All notices."""
    return NoticeList(notices=[view(one, call.services) for one in call.services.definitions.notices])


async def show_notice(call: Call) -> NoticeView:
    """One notice."""
    return view(call.services.notices.definitions.notice(call.path["notice"]), call.services)


async def add_notice(call: Call) -> NoticeChange:
    """Make a notice."""
    edit: EditNotice = call.body
    made = await call.services.notices.definitions.add_notice(edit.text, dry_run=edit.dry_run)
    change = Change(changed=True, dry_run=edit.dry_run, warnings=_remarks(made, call.services))
    return NoticeChange(notice=view(made, call.services), change=change)


async def edit_notice(call: Call) -> NoticeChange:
    """Give a notice a new text."""
    edit: EditNotice = call.body
    known = call.services.notices.definitions
    made, diff = await known.change_notice(known.notice(call.path["notice"]), edit.text, dry_run=edit.dry_run)
    change = Change(
        changed=bool(diff), diff=diff, dry_run=edit.dry_run, warnings=_remarks(made, call.services)
    )
    return NoticeChange(notice=view(made, call.services), change=change)


async def remove_notice(call: Call) -> Change:
    """Forget a notice, and what waits to be sent for it."""
    known = call.services.notices.definitions
    await known.remove_notice(known.notice(call.path["notice"]))
    return Change(changed=True)


async def test_notice(call: Call) -> NoticeTest:
    """Send something now."""
    notices = call.services.notices
    return await notices.test(notices.definitions.notice(call.path["notice"]))


def _remarks(made: StoredNotice, services: Services) -> list[str]:
    """What is allowed and may still surprise."""
    if made.text.url_from is not None:
        return []
    if kind_of(made.text.url) != "mail":
        if kind_of(made.text.url) == "apprise":
            return ["the address may hold a token, and the catalog keeps it; a file keeps it apart: --url-file"]
        return []
    told = []
    if not services.configuration.settings.smtp.host:
        told.append("no mail server is set, so mail waits: bkctl config set smtp.host mail.example.org")
    if not view(made, services).recipients:
        told.append("there is no contact yet, so nobody gets it: bkctl contact add NAME anna@example.org")
    return told


def _contact_view(stored: StoredContact) -> ContactView:
    return ContactView(id=stored.id, text=stored.text, file=stored.file, created_ns=stored.created_ns)


async def list_contacts(call: Call) -> ContactList:
    """All contacts."""
    return ContactList(contacts=[_contact_view(one) for one in call.services.definitions.contacts])


async def show_contact(call: Call) -> ContactView:
    """One contact."""
    return _contact_view(call.services.notices.definitions.contact(call.path["contact"]))


async def add_contact(call: Call) -> ContactChange:
    """Make a contact."""
    edit: EditContact = call.body
    made = await call.services.notices.definitions.add_contact(edit.text, dry_run=edit.dry_run)
    return ContactChange(contact=_contact_view(made), change=Change(changed=True, dry_run=edit.dry_run))


async def edit_contact(call: Call) -> ContactChange:
    """Give a contact a new text."""
    edit: EditContact = call.body
    known = call.services.notices.definitions
    made, diff = await known.change_contact(known.contact(call.path["contact"]), edit.text, dry_run=edit.dry_run)
    return ContactChange(
        contact=_contact_view(made), change=Change(changed=bool(diff), diff=diff, dry_run=edit.dry_run)
    )


async def remove_contact(call: Call) -> Change:
    """Forget a contact."""
    known = call.services.notices.definitions
    await known.remove_contact(known.contact(call.path["contact"]))
    return Change(changed=True)


_NOTICE, _CONTACT = "/v1/notices/{notice}", "/v1/contacts/{contact}"

ROUTES = [
    Route("GET", "/v1/notices", "notice list", _READERS, None, NoticeList, list_notices, "List notices."),
    Route("POST", "/v1/notices", "notice add", ADMINS, EditNotice, NoticeChange, add_notice, "Make a notice."),
    Route("GET", _NOTICE, "notice show", _READERS, None, NoticeView, show_notice, "Show a notice."),
    Route("PUT", _NOTICE, "notice edit", ADMINS, EditNotice, NoticeChange, edit_notice, "Change a notice."),
    Route("DELETE", _NOTICE, "notice remove", ADMINS, None, Change, remove_notice, "Forget a notice."),
    Route("POST", f"{_NOTICE}/test", "notice test", ADMINS, Nothing, NoticeTest, test_notice, "Try a notice."),
    Route("GET", "/v1/contacts", "contact list", _READERS, None, ContactList, list_contacts, "List contacts."),
    Route("POST", "/v1/contacts", "contact add", ADMINS, EditContact, ContactChange, add_contact, "Make a contact."),
    Route("GET", _CONTACT, "contact show", _READERS, None, ContactView, show_contact, "Show a contact."),
    Route("PUT", _CONTACT, "contact edit", ADMINS, EditContact, ContactChange, edit_contact, "Change a contact."),
    Route("DELETE", _CONTACT, "contact remove", ADMINS, None, Change, remove_contact, "Forget a contact."),
]
