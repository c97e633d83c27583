"""Contacts as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

from backupd.model.notice_api import ContactChange, ContactList, ContactView
from bkctl.render.config import change_document
from bkctl.render.table import table
from bkctl.render.times import rfc3339


def document(found: ContactView) -> dict[str, Any]:
    """A contact as JSON output shows it."""
    return {
        "id": found.id,
        "name": found.text.name,
        "email": found.text.email,
        "certificate": found.text.certificate,
        "encrypt": found.text.encrypt,
        "kept_in": found.file,
        "created": rfc3339(found.created_ns),
    }


def changed(made: ContactChange) -> dict[str, Any]:
    """What a changing command did."""
    return {**change_document(made.change), "contact": document(made.contact)}


def added_lines(made: ContactChange) -> list[str]:
    """What was made, and what to do next."""
    text = made.contact.text
    verb = "would be made" if made.change.dry_run else "is made"
    encrypted = ", mail is encrypted" if text.certificate and text.encrypt else ""
    return [
        f"Contact {text.name} {verb}: {text.email}{encrypted}.",
        *["Have all contacts told: bkctl notice add contacts mailto:"] * (not made.change.dry_run),
    ]


def list_lines(found: ContactList) -> list[str]:
    """A table."""
    if not found.contacts:
        return ["No contact yet. Make one: bkctl contact add NAME anna@example.org"]
    rows = [
        [one.text.name, one.text.email, (one.text.certificate or "-") if one.text.encrypt else "not used"]
        for one in found.contacts
    ]
    return table(["CONTACT", "E-MAIL", "ENCRYPTED FOR"], rows)
