"""A quota that is nearly used up, and a certificate that ends soon, are told of before they stop anything."""

from __future__ import annotations

import json
import os
from collections.abc import Generator

import pytest

from tests.support.noticing import Noticing, noticing
from tests.support.people import person
from tests.support.servers.mail_server import Received

ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Noticing, None, None]:
    with noticing(tmp_path_factory.mktemp("limits")) as found:
        (found.home / "source" / "numbers").write_bytes(os.urandom(20_000))
        found.daemon.good("backup", "home")
        yield found


@pytest.fixture
def told(started: Noticing) -> Noticing:
    started.clear()
    return started


def bodies(mail: Received) -> list[str]:
    """Text and HTML, words with one space between them."""
    parts = [mail.message.get_body((kind,)) for kind in ("plain", "html")]
    return [" ".join(part.get_content().split()) for part in parts]  # type: ignore[union-attr]


def test_a_certificate_is_told_from_ten_days_before_its_end_once_a_day(told: Noticing) -> None:
    """Of a contact, and then of those that vouch for servers; of one that has ended once more, and no longer daily."""
    daemon, anna = told.daemon, told.home / "anna.pem"
    anna.write_bytes(person("limits", days=12).certificate)
    daemon.good("contact", "add", "anna", ANNA, "--certificate", anna)
    daemon.good("notice", "add", "ben", f"mailto:{BEN}", "--on", "expiry")
    # The daemon has certificates looked at, and tells at its next look.
    told.minutes_pass(2)
    told.settle()
    for days, mails in ((1, 0), (2, 1), (0, 1), (1, 2), (9, 3), (2, 3)):
        told.minutes_pass(days * 24 * 60 + 2)
        assert told.settle() == mails, days
        if days == 2:
            # What was told stays known, though nobody has looked yet when the daemon looks first.
            daemon.stop()
            daemon.start()
            assert told.settle() == mails
            told.minutes_pass(2)
            assert told.settle() == mails
    first, _, last = told.mail.received
    assert first.subject.startswith("Certificate of anna ends (")
    assert last.subject.startswith("Certificate of anna has ended (")
    for body in bodies(first):
        assert f"The certificate {anna} on" in body
        assert "ends in 8 days, on " in body
        assert "bkctl contact edit anna --certificate FILE" in body
    far = {"name": "far", "place": "webdavs://dav.example.org/b", "ca_file": str(told.home / "authority.pem")}
    daemon.good("config", "apply", "-f", "-", stdin=json.dumps({"destinations": [far]}).encode())
    told.minutes_pass(6 * 24 * 60)
    told.settle()
    told.minutes_pass(2)
    mail = told.mail.wait_for(4)[-1]
    assert mail.subject.startswith("Certificate of far and the mail server 127.0.0.1 ends (")
    daemon.good("destination", "remove", "far", "--yes")


def test_a_quota_is_told_once_and_again_when_it_was_less_meanwhile(told: Noticing) -> None:
    """And only those who hear of sets that are stored there."""
    daemon = told.daemon
    daemon.good("destination", "edit", "repo", "--quota", "1G")
    used = daemon.good("status", "home")["sets"][0]["destinations"][0]["quotas"][0]["used_bytes"]
    daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "quota")
    daemon.good("notice", "add", "other", f"mailto:{BEN}", "--set", "bad", "--on", "failure")
    told.minutes_pass(2)
    assert told.settle() == 0
    daemon.good("destination", "edit", "repo", "--quota", f"{used * 100 // 91}")
    told.minutes_pass(2)
    (mail,) = told.mail.wait_for(1)
    assert mail.subject.startswith("repo: 91 % of the quota used (")
    for body in bodies(mail):
        assert "backups of bad and home end with an error until there is room again" in body
        assert "bkctl destination edit repo --quota SIZE" in body
    told.minutes_pass(24 * 60)
    assert told.settle() == 1
    for percent in (88, 91, 80):
        # A little less and more again is no news.
        daemon.good("destination", "edit", "repo", "--quota", f"{used * 100 // percent}")
        told.minutes_pass(2)
        assert told.settle() == 1, percent
    daemon.good("config", "set", "quota_near", "75%")
    told.minutes_pass(2)
    told.mail.wait_for(2)
    daemon.good("destination", "edit", "repo", "--quota", "")


def test_the_quotas_of_a_set_and_of_the_account_are_told(told: Noticing) -> None:
    daemon = told.daemon
    daemon.good("set", "edit", "home", "--quota", "1G")
    daemon.good("config", "set", "account_quota", "1G")
    daemon.good("backup", "home")
    used = daemon.good("status", "home")["sets"][0]["destinations"][0]["quotas"][0]["used_bytes"]
    daemon.good("notice", "add", "home", f"mailto:{ANNA}", "--on", "quota", "--set", "home")
    daemon.good("set", "edit", "home", "--quota", f"{used * 100 // 95}")
    daemon.good("config", "set", "account_quota", "20KiB")
    told.minutes_pass(2)
    subjects = sorted(one.subject.partition(" (")[0] for one in told.mail.wait_for(2))
    assert subjects == ["account: 97 % of the quota used", "home: 95 % of the quota used"]
    daemon.good("set", "edit", "home", "--quota", "")
