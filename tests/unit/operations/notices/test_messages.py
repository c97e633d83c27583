"""Mail as bytes: whatever names and messages hold, it stays one mail with these headers, and the page shows text."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest

from backupd.catalog.jobs import StoredJob
from backupd.daemon.notices.content import Place, encoded, of_job, of_key
from backupd.daemon.notices.noting import hears_of
from backupd.model.notice_orders import Letter
from backupd.model.notices import KeyUse, NoticeContent, NoticeText
from backupd.operations.notices.checks import ping_url
from backupd.operations.notices.messages import message_of
from backupd.operations.notices.page import html_of
from backupd.operations.notices.webhook import signature

NOW = datetime(2026, 11, 26, 22, tzinfo=UTC)
HOSTILE = "a\r\nBcc: eve@example.org\r\n\r\n<script>alert(1)</script>\x1b[31m\u202e\0 --frontier"


def content_of(words: str, name: str | None = None) -> NoticeContent:
    """Of a job all of whose texts say that; its set and destinations, too, where they have no name."""
    places = [{"name": name or words, "verdict": words, "error": {"message": words}}] * 50
    job = StoredJob(
        id="j" + "1" * 32,
        kind="backup",
        state="failed",
        set_id="b1",
        set_name=name or words,
        orders=b"",
        caller_uid=0,
        created_ns=10**18,
        started_ns=10**18,
        finished_ns=10**18,
        exit_code=15,
        result={"runs": [{"destinations": places, "snapshot": words, "problems": {"count": "many"}, "files": 3}]},
        error={"code": words, "message": words, "hint": words},
        warnings=[words] * 500,
    )
    return of_job(job, "failure", Place(host="pluto", zone=UTC), 10**18)


def mail_of(content: NoticeContent) -> tuple[bytes, EmailMessage]:
    letter = Letter(id=1, recipient="anna@example.org", message_id="<1@pluto.backupd>", content=content)
    data = message_of(letter, "backupd@example.org", NOW)
    found = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return data, found


def test_hostile_texts_stay_where_they_belong() -> None:
    data, mail = mail_of(content_of(HOSTILE))
    assert sorted(mail.keys()) == [
        "Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To",
        "X-Backupd-Event",
    ]  # fmt: skip
    assert mail["To"] == "anna@example.org"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert not any(not c.isprintable() and c not in "\r\n" for c in text)
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998


def test_ten_megabytes_of_error_make_a_small_mail() -> None:
    content = content_of("ä" * 10_000_000)
    assert len(encoded(content)) < 256 << 10
    assert len(mail_of(content)[0]) < 1 << 20
    assert len(str(mail_of(content)[1]["Subject"])) <= 200


def test_a_secret_in_a_message_is_struck_out() -> None:
    assert "hunter2" not in encoded(content_of("can't reach sftp://anna:hunter2@host/x", "home"))


def test_a_signature_is_over_time_and_body() -> None:
    """As docs/notices.md has it, checked there by hand: a change would break every receiver."""
    assert signature(b"key", b'{"a":1}', 1700000000) == (
        "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    )


def test_a_ping_carries_the_job_and_keeps_what_the_address_has() -> None:
    content = content_of("home")
    assert ping_url("https://hc.example/p/x?create=1", content) == (
        "https://hc.example/p/x/fail?create=1&rid=11111111-1111-1111-1111-111111111111"
    )


@pytest.mark.parametrize(
    ("verb", "title", "steps"),
    [
        ("show", "key shown", ["list home", "add home", "remove k11111111 home", "rotate home"]),
        ("sheet", "key sheet printed", ["list home", "add home", "remove k11111111 home", "rotate home"]),
        ("add", "key added", ["list home", "remove k11111111 home", "rotate home"]),
        ("remove", "key removed", ["list home"]),
        ("password", "password changed", ["list home"]),
        ("rotate", "keys replaced", ["list home"]),
    ],
)
def test_who_reads_of_a_key_knows_what_to_do(verb: str, title: str, steps: list[str]) -> None:
    """New keys alone keep nobody out who has seen the old one: it opens those, too."""
    use = KeyUse(verb=verb, user="anna", set_name="home", destination="usb", slot="k" + "1" * 32)
    content = of_key(use, "key-1", Place(host="pluto", zone=UTC), 10**18)
    assert content.title == f"home: {title} (pluto)"
    assert [one.command for one in content.commands] == [f"bkctl key {step}" for step in steps]


def test_a_ping_of_a_key_says_nothing_of_backups() -> None:
    """Where the address is known only as it is read: a key that is shown is no backup that went well."""
    use = KeyUse(verb="show", user="anna", set_name="home", destination="usb")
    content = of_key(use, "key-1", Place(host="pluto", zone=UTC), 10**18)
    assert ping_url("https://hc.example/p/x", content) == "https://hc.example/p/x/log"


def test_what_is_told_of_a_key_stays_where_it_belongs() -> None:
    """The label of a slot is whatever somebody wrote there, and lies at the store."""
    use = KeyUse(verb="add", user=HOSTILE, set_name=None, destination=None, slot="k" * 32, label=HOSTILE)
    content = of_key(use, "key-1", Place(host="pluto", zone=UTC), 10**18)
    data, mail = mail_of(content)
    assert mail["To"] == "anna@example.org"
    assert b"\nBcc:" not in data
    assert "<script" not in html_of(content)
    assert content.title == "repository: key added (pluto)"


def test_who_waits_for_backups_does_not_take_a_check_for_one() -> None:
    """A periodic check that went well before a backup that hangs would keep a dead man's switch quiet."""
    switch = NoticeText(name="a", url="healthchecks:https://hc.example/x")
    mail = NoticeText(name="b", url="mailto:")
    assert [hears_of(switch, kind) for kind in ("backup", "check", None)] == [True, False, True]
    assert [hears_of(mail, kind) for kind in ("backup", "check", None)] == [True, True, True]


def test_a_check_that_needs_a_decision_says_how_to_decide() -> None:
    """Nothing beyond the limits is given up by itself: without this line nobody knows that something waits."""
    decisions = [{"state": "waits", "command": "bkctl check --apply j22222222"}]
    job = StoredJob(
        id="j" + "2" * 32, kind="check", state="failed", set_id="b1", set_name="home", orders=b"", caller_uid=0,
        created_ns=1, exit_code=20, result={"decisions": decisions},
        error={"code": "damage.found", "message": "3 files are lost", "hint": ""},
    )  # fmt: skip
    commands = [one.command for one in of_job(job, "failure", Place(host="pluto", zone=UTC), 1).commands]
    assert commands == ["bkctl job log j22222222", "bkctl status home", "bkctl check --apply j22222222"]


def test_a_path_with_hyphens_stays_in_one_piece() -> None:
    """Who copies it out of a mail needs all of it."""
    path = "/srv/" + "-".join(["part"] * 30)
    _, mail = mail_of(content_of(f"{path} can't be read", name="docs"))
    assert path in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
