"""Addresses of notices, whom an event is told, texts from outside made harmless."""

from __future__ import annotations

import pytest

from backupd.errors import BackupError, UsageError
from backupd.model.notices import ContactText, NoticeText, masked
from backupd.rules.notice_rules import check_contact, check_notice, check_url, pause_seconds, recipients, shown

ANNA = ContactText(name="anna", email="anna@example.org")


@pytest.mark.parametrize(
    "url",
    [
        "mailto:anna@example.org",
        "mailto:anna+x@example.org, ben@mail.example.org",
        "mailto:",
        "https://example.org:8443/in?a=b",
        "healthchecks:https://hc-ping.com/0b5c6f2e-2f4b-4d0c-9b9f-7b1f4d6a2c11",
        "ntfys://host/topic",
    ],
)
def test_addresses_that_are_taken(url: str) -> None:
    check_url(url, allow_plaintext=False)


@pytest.mark.parametrize(
    "url",
    [
        "mailto:anna@example.org\r\nBcc: eve@example.org",
        "mailto:anna",
        "mailto:<anna@example.org>",
        "mailto:anna@exa mple.org",
        "mailto:" + "a" * 70 + "@example.org",
        "mailto:anna@exämple.org",
        "mailto://user:secret@example.org",
        "http://example.org/in",
        "healthchecks:http://example.org/in",
        "https:///in",
        "https://example.org:99999/in",
        "https://anna:secret@example.org/in",
        "https://example.org/in\r\nX-A: b",
        "ntfy",
        "x" * 3000,
    ],
)
def test_addresses_that_are_refused_without_being_repeated(url: str) -> None:
    """What stands there may be a password, and messages are kept."""
    with pytest.raises(UsageError) as caught:
        check_url(url, allow_plaintext=False)
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("mailto:anna@example.org", "mailto:anna@example.org"),
        ("https://hooks.example.org:444/services/T0/B0/xyz?k=v", "https://hooks.example.org:444/…"),
        ("https://user:pw@example.org/x", "https://example.org/…"),
        ("healthchecks:https://hc-ping.com/0b5c6f2e", "healthchecks:https://hc-ping.com/…"),
        ("slack://TokenA/TokenB", "slack://…"),
        ("https://example.org", "https://example.org"),
    ],
)
def test_addresses_as_they_are_shown(url: str, seen: str) -> None:
    assert masked(url) == seen


@pytest.mark.parametrize(
    "text",
    [
        NoticeText(name="a"),
        NoticeText(name="a b", url="mailto:"),
        NoticeText(name="a", url="mailto:", on=[]),
        NoticeText(name="a", url="mailto:", on=["start"]),
        NoticeText(name="a", url="mailto:", proxy="direct"),
        NoticeText(name="a", url="mailto:", sets=["nope"]),
        NoticeText(name="a", url="healthchecks:https://hc-ping.com/x", on=["digest"]),
        NoticeText(name="a", url="healthchecks:https://hc-ping.com/x", on=["failure", "key"]),
        NoticeText(name="a", url="healthchecks:https://hc-ping.com/x", on=["quota"]),
        NoticeText(name="a", url="healthchecks:https://hc-ping.com/x", on=["expiry"]),
    ],
)
def test_notices_that_are_refused(text: NoticeText) -> None:
    with pytest.raises(BackupError):
        check_notice(text, ["home"])


def test_contacts_that_are_refused() -> None:
    for text in (ContactText(name="a", email="a"), ContactText(name="a", email="a@b.c", certificate="a.pem")):
        with pytest.raises(UsageError):
            check_contact(text)


def test_nobody_is_told_the_same_twice() -> None:
    """Two notices name anna, and so does the list of contacts: one mail. Domains are compared without case."""
    notices = [
        ("n1", NoticeText(name="a", url="mailto:anna@Example.org,ben@example.org")),
        ("n2", NoticeText(name="b", url="mailto:")),
        ("n3", NoticeText(name="c", url="mailto:carl@example.org", enabled=False)),
        ("n4", NoticeText(name="d", url="mailto:dora@example.org", sets=["etc"])),
        ("n5", NoticeText(name="e", url="mailto:emil@example.org", on=["digest"])),
        ("n6", NoticeText(name="f", url="https://example.org/x")),
    ]
    found = recipients(notices, [ANNA], "failure", "home")
    assert [one.recipient for one in found] == ["mailto:anna@example.org", "mailto:ben@example.org", "n6"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\nBcc: eve@example.org", "a Bcc: eve@example.org"),
        ("a\0b\x1b[31mc", "a b [31mc"),
        ("right\u202eleft\u2066x", "right left x"),
        ("\ud800x", "x"),
        ("x" * 10_000_000, "x" * 19 + "…"),
    ],
)
def test_a_text_from_outside_is_one_harmless_line(text: str, line: str) -> None:
    """In subjects, in mail and in terminals: it neither breaks out of its line nor turns it round."""
    assert shown(text, 20 if len(text) > 100 else 100) == line


def test_pauses_grow_to_an_hour() -> None:
    assert [pause_seconds(n) for n in (1, 2, 3, 6, 7, 80)] == [60, 120, 240, 1920, 3600, 3600]
    assert [pause_seconds(1, asked) for asked in (5, 600, 10**9)] == [60, 600, 3600]
