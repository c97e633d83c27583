"""Notices as recipients get them: whoever trusts that a mail comes when a backup fails does not look by himself."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.noticing import SENDER, Noticing, noticing, wait_until
from tests.support.people import person
from tests.support.servers.certificates import Authority
from tests.support.servers.mail_server import mail_server

ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Noticing, None, None]:
    with noticing(tmp_path_factory.mktemp("notices")) as found:
        yield found


@pytest.fixture
def told(started: Noticing) -> Noticing:
    started.clear()
    return started


def test_a_failure_is_mailed_as_text_and_html(told: Noticing) -> None:
    """By STARTTLS and with the login; who reads it knows what failed, where, and what to type."""
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA},{BEN}")
    job = told.fail()
    first, second = told.mail.wait_for(2)
    assert (first.recipients, second.recipients) == ([ANNA], [BEN])
    assert first.is_encrypted
    message = first.message
    host = socket.gethostname().partition(".")[0]
    assert message["Subject"] == f"bad: backup failed ({host})"
    assert SENDER in message["From"]
    assert message["To"] == ANNA
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    for body in (text, html):
        assert f"bkctl job log {job[:9]}" in body
        assert "bkctl backup bad" in body
        assert "no good backup yet" in body
    assert str(told.home / "gone") in html
    assert not any(word in html for word in ("http://", "https://", "<img", "<script", "<link"))


def test_mail_to_a_contact_with_a_certificate_is_encrypted(told: Noticing) -> None:
    """Who asks for encrypted mail has names of sets and hosts in no mailbox of others: the subject tells nothing."""
    anna = person("anna", days=20)
    (told.home / "anna.pem").write_bytes(anna.certificate)
    told.daemon.good("contact", "add", "anna", ANNA, "--certificate", told.home / "anna.pem")
    told.daemon.good("contact", "add", "ben", BEN)
    told.daemon.good("contact", "add", "carl", "carl@example.org", "--certificate", told.home / "lost.pem")
    told.daemon.good("notice", "add", "all", "mailto:", "--on", "failure")
    told.fail()
    by_recipient = {one.recipients[0]: one for one in told.mail.wait_for(2)}
    assert "bad" in by_recipient[BEN].subject
    sealed = by_recipient[ANNA]
    assert "bad" not in sealed.subject
    assert sealed.message.get_content_type() == "application/pkcs7-mime"
    inside = anna.opened(sealed.data, told.home).decode()
    assert "Content-Type: multipart/alternative" in inside
    assert "The backup of bad on" in inside
    told.minutes_pass(2)
    assert "mail goes on being encrypted" in told.wait_for_warning("the certificate of anna ends on")
    # Without the certificate nothing is sent, rather than in the clear.
    assert "lost.pem" in told.wait_for_warning("notices to carl@example.org that wait")
    assert len(told.mail.received) == 2


def test_a_server_that_is_down_for_an_hour_loses_nothing_and_doubles_nothing(told: Noticing) -> None:
    """The proof of issue 7: failures of which nobody hears until the server is up again."""
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA},{BEN}", "--on", "failure")
    told.mail.stop()
    jobs = [told.fail() for _ in range(2)]
    for _ in range(4):
        told.minutes_pass(15)
        time.sleep(0.6)
    assert "Connection refused" in told.wait_for_warning(f"notices to {ANNA} that wait to be sent: 2")
    told.daemon.kill()
    told.daemon.start()
    told.mail.start()
    told.minutes_pass(61)
    received = told.mail.wait_for(4)
    told.minutes_pass(61)
    assert told.settle() == 4
    for recipient in (ANNA, BEN):
        bodies = [one.data.decode() for one in received if one.recipients == [recipient]]
        assert [sum(job[:9] in body for body in bodies) for job in jobs] == [1, 1]
    assert len({one.message["Message-ID"] for one in received}) == 4
    wait_until(lambda: "none" if not told.warnings() else "")


def test_what_is_put_off_or_hung_up_on_comes_later_and_what_is_refused_does_not(told: Noticing) -> None:
    """Of what was hung up on nobody knows whether it arrived: mail programs know one id as one mail.

    What is refused for one recipient is no reason to keep it from the other, or to send it to that one twice.
    """
    told.mail.at_data = ["451 try again", "drop"]
    told.mail.at_recipient[BEN] = ["550 no such user"]
    told.daemon.good("notice", "add", "admins", f"mailto:{BEN},{ANNA}", "--on", "failure")
    told.fail()
    assert "550 no such user" in told.wait_for_warning(f"notices to {BEN} that are not sent any more: 1")
    assert "451 try again" in told.wait_for_warning(f"notices to {ANNA} that wait")
    told.minutes_pass(1.1)
    told.wait_for_warning("hung up")
    told.minutes_pass(2.1)
    first, second = told.mail.wait_for(2)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    told.minutes_pass(120)
    assert told.settle() == 2
    assert {one.recipients[0] for one in told.mail.received} == {ANNA}


def test_killed_between_acknowledgement_and_commit_it_comes_again_under_the_same_id(told: Noticing) -> None:
    """kill -9 at the one moment in which something can come twice; and then never again."""

    def kill() -> str:
        told.daemon.kill()
        return "250 OK"

    told.mail.at_data = [kill]
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "failure")
    told.daemon.json("backup", "bad", "--detach")
    told.mail.wait_for(1)
    told.daemon.wait()
    told.daemon.start()
    first, second = told.mail.wait_for(2)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert "it is sent again and may come twice" in told.daemon.said()
    told.minutes_pass(61)
    assert told.settle() == 2


def test_a_server_that_hangs_keeps_nobody_waiting(told: Noticing) -> None:
    """The backup ends as fast as ever; what was to be told waits, with the reason."""
    told.mail.stop()
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "success")
    with socket.create_server(("127.0.0.1", told.mail.port)):
        told.daemon.good("config", "set", "smtp.timeout", "1s")
        document = told.daemon.json("notice", "test", "admins")
        assert "no answer within 1 s" in document["error"]["message"]
        told.daemon.good("config", "set", "smtp.timeout", "1m")
        began = time.monotonic()
        told.daemon.good("backup", "home")
        told.daemon.good("status")
        assert time.monotonic() - began < 30
        told.daemon.kill()
    told.daemon.start()
    told.daemon.good("config", "set", "smtp.timeout", "3s")
    told.mail.start()
    told.minutes_pass(2)
    told.mail.wait_for(1)


def test_without_starttls_or_with_a_foreign_certificate_nothing_is_sent(told: Noticing, tmp_path: Path) -> None:
    """No letter and no login goes to a server that is not encrypted, or is somebody else."""
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA}")
    told.mail.stop()
    with mail_server("none") as plain:
        told.daemon.good("config", "set", "smtp.port", str(plain.port))
        document = told.daemon.json("notice", "test", "admins")
        assert document["exit"] == 1
        assert "offers no STARTTLS" in document["result"]["recipients"][0]["detail"]
        assert plain.received == []
    with mail_server("starttls", Authority(tmp_path, "other").server("foreign")) as foreign:
        told.daemon.good("config", "set", "smtp.port", str(foreign.port))
        document = told.daemon.json("notice", "test", "admins")
        assert "certificate is not accepted" in document["error"]["message"]
        assert foreign.received == []
    told.daemon.good("config", "set", "smtp.port", str(told.mail.port))
    assert told.daemon.json("config", "set", "smtp.security", "none")["exit"] == 2


def test_a_test_says_where_it_went(told: Noticing) -> None:
    told.mail.at_recipient[BEN] = ["550 unknown"]
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA},{BEN}")
    document = told.daemon.json("notice", "test", "admins")
    assert document["exit"] == 4
    assert [(one["recipient"], one["sent"]) for one in document["result"]["recipients"]] == [(ANNA, True), (BEN, False)]
    assert "550 unknown" in document["error"]["message"]


def test_overdue_is_told_once_and_again_after_a_day(told: Noticing) -> None:
    """A machine whose backups silently stopped is why this is there."""
    told.daemon.good("backup", "home")
    told.daemon.good("set", "edit", "home", "--max-age", "26h")
    told.daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "overdue", "--set", "home")
    told.minutes_pass(5)
    assert told.settle() == 0
    told.minutes_pass(27 * 60)
    (first,) = told.mail.wait_for(1)
    assert first.subject.startswith("home: overdue")
    assert "26 h 00 min are allowed" in first.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    told.minutes_pass(23 * 60)
    assert told.settle() == 1
    told.minutes_pass(61)
    told.mail.wait_for(2)
    told.daemon.good("backup", "home")
    told.minutes_pass(60 * 25)
    assert told.settle() == 2
    told.daemon.good("set", "edit", "home", "--max-age", "10w")


def test_what_is_overdue_while_a_run_is_under_way_says_so(told: Noticing) -> None:
    """Who reads it late begins another run, or takes a backup that needs days for one that is dead."""
    daemon = told.daemon
    slow_set.make(daemon, "slow", told.home / "slow", mib=2)
    daemon.good("set", "edit", "slow", "--max-age", "1h")
    with slow_set.begun(daemon, "slow") as job:
        daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "overdue", "--set", "slow")
        told.minutes_pass(24 * 60 + 2)
        (mail,) = told.mail.wait_for(1)
        told.clear()
    text = mail.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert mail.subject.startswith("slow: overdue")
    assert f"bkctl job show {job[:9]}" in text
    daemon.json("job", "wait", job)
    daemon.good("set", "delete", "slow", "--yes")


def test_a_digest_comes_once_a_day(told: Noticing) -> None:
    told.daemon.good("notice", "add", "daily", f"mailto:{ANNA}", "--on", "digest")
    told.minutes_pass(24 * 60)
    told.mail.wait_for(1)
    told.mail.received.clear()
    told.fail()
    told.minutes_pass(24 * 60)
    (mail,) = told.mail.wait_for(1)
    text = mail.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "bad: runs: 1 failed" in text
    assert "home: no run" in text
    told.clock.set_wall(-timedelta(days=2))
    told.settle()
    told.clock.set_wall(timedelta(days=2))
    assert told.settle() == 1
