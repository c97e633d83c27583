"""Mail as bytes: whatever names and messages hold, it stays one mail with these headers, and the page shows text."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

from backupd.catalog.jobs import StoredJob
from backupd.daemon.notices.content import Place, encoded, of_job
from backupd.daemon.notices.noting import hears_of
from backupd.model.notice_orders import Letter
from backupd.model.notices import NoticeContent, NoticeText
from backupd.operations.notices.checks import ping_url
from backupd.operations.notices.messages import message_of
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
