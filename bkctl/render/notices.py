"""Notices as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

from backupd.model.notice_api import NoticeChange, NoticeList, NoticeTest, NoticeView
from backupd.model.notices import kind_of
from bkctl.render.config import change_document
from bkctl.render.destinations import origin_of
from bkctl.render.table import table
from bkctl.render.times import rfc3339


def document(found: NoticeView) -> dict[str, Any]:
    """A notice as JSON output shows it."""
    text = found.text
    return {
        "id": found.id,
        "name": text.name,
        "kind": kind_of(text.url) if text.url else None,
        "url": text.url or None,
        "url_from": origin_of(text.url_from),
        "on": found.on,
        "sets": text.sets,
        "enabled": text.enabled,
        "recipients": found.recipients,
        "secret": origin_of(text.secret),
        "allow_plaintext": text.allow_plaintext,
        "proxy": text.proxy,
        "kept_in": found.file,
        "created": rfc3339(found.created_ns),
    }


def changed(made: NoticeChange) -> dict[str, Any]:
    """What a changing command did."""
    return {**change_document(made.change), "notice": document(made.notice)}


def added_lines(made: NoticeChange) -> list[str]:
    """What was made, and what to do next."""
    name = made.notice.text.name
    verb = "would be made" if made.change.dry_run else "is made"
    head = f"Notice {name} {verb}: {_where(made.notice)}, on {', '.join(made.notice.on)}."
    return [head] + [f"Try it: bkctl notice test {name}"] * (not made.change.dry_run)


def list_lines(found: NoticeList) -> list[str]:
    """A table."""
    if not found.notices:
        return ["No notice yet. Make one: bkctl notice add NAME mailto:anna@example.org"]
    rows = [
        [
            one.text.name + " (off)" * (not one.text.enabled),
            _where(one),
            ", ".join(one.on),
            ", ".join(one.text.sets) or "all",
        ]
        for one in found.notices
    ]
    return table(["NOTICE", "TO", "ON", "SETS"], rows)


def test_document(stored: NoticeView, tested: NoticeTest) -> dict[str, Any]:
    """What became of a test, as JSON output shows it."""
    told = [{"recipient": one.recipient, "sent": one.is_sent, "detail": one.detail} for one in tested.recipients]
    return {"notice": document(stored), "recipients": told}


def test_lines(stored: NoticeView, tested: NoticeTest) -> list[str]:
    """A line for each recipient."""
    return [
        f"{one.recipient or stored.text.url or 'the address of its file'}: "
        f"{'sent' if one.is_sent else 'not sent'}: {one.detail}"
        for one in tested.recipients
    ]


def _where(one: NoticeView) -> str:
    if one.text.url_from is not None:
        return f"the address in the {origin_of(one.text.url_from)}"
    if one.recipients:
        return ", ".join(one.recipients)
    return "all contacts" if one.text.url == "mailto:" else one.text.url
