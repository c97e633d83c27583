"""Notices to programs: webhooks, healthchecks, Apprise; and as text in conf.d. No address is shown whole."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Generator
from datetime import datetime

import pytest

from tests.support.noticing import Noticing, noticing, wait_until
from tests.support.servers.certificates import Authority
from tests.support.servers.hook_server import Answer, hook_server

TOKEN = "T0ken-that-nobody-sees"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Noticing, None, None]:
    with noticing(tmp_path_factory.mktemp("addresses")) as found:
        yield found


@pytest.fixture
def told(started: Noticing) -> Noticing:
    started.clear()
    return started


def test_a_webhook_gets_signed_json(told: Noticing) -> None:
    """Verified as docs/notices.md says; over TLS with a certificate that the machine trusts."""
    key = told.home / "hook.key"
    key.write_text("a key of our own\n")
    with hook_server(Authority(told.home, "second").server("stranger")) as stranger:
        told.daemon.good("notice", "add", "stranger", f"https://127.0.0.1:{stranger.port}/{TOKEN}")
        document = told.daemon.json("notice", "test", "stranger")
        assert "certificate is not accepted" in document["error"]["message"]
        assert stranger.posted == []
    told.daemon.good("notice", "remove", "stranger", "--yes")
    # The trusted one: the authority's file is what SSL_CERT_FILE of the daemon names.
    with hook_server((told.home / "mail.pem", told.home / "mail.key")) as hook:
        url = f"https://127.0.0.1:{hook.port}/in?token={TOKEN}"
        told.daemon.good("notice", "add", "hook", url, "--secret-file", key, "--on", "failure")
        job = told.fail()
        (posted,) = hook.wait_for(1)
    assert posted.path == f"/in?token={TOKEN}"
    body = json.loads(posted.body)
    assert (body["schema"], body["event"], body["set"], body["job"]) == ("backupd.notice/1", "failure", "bad", job)
    assert body["error"]["code"] == "source.not_found"
    assert body["id"] == posted.headers["x-backupd-id"]
    assert datetime.fromisoformat(body["time"]).tzinfo is not None
    parts = dict(part.split("=", 1) for part in posted.headers["x-backupd-signature"].split(","))
    expected = hmac.new(b"a key of our own", f"{parts['t']}.".encode() + posted.body, hashlib.sha256)
    assert hmac.compare_digest(parts["v1"], expected.hexdigest())


def test_a_webhook_that_is_busy_is_asked_again_and_a_redirect_is_not_followed(told: Noticing) -> None:
    url = f"http://127.0.0.1:{told.hook.port}/in"
    assert told.daemon.json("notice", "add", "hook", url)["exit"] == 2
    told.daemon.good("notice", "add", "hook", url, "--allow-plaintext", "--on", "failure")
    told.hook.answers = [Answer(503), Answer(429, {"Retry-After": "600"})]
    told.fail()
    told.wait_for_warning("answered 503")
    told.minutes_pass(1.1)
    told.wait_for_warning("answered 429")
    told.minutes_pass(9)
    told.settle()
    assert len(told.hook.posted) == 2
    told.minutes_pass(1.5)
    told.hook.wait_for(3)
    wait_until(lambda: "none" if not told.warnings() else "")
    assert len({one.body for one in told.hook.posted}) == 1
    told.hook.answers = [Answer(302, {"Location": f"http://127.0.0.1:{told.hook.port}/elsewhere"})]
    document = told.daemon.json("notice", "test", "hook")
    assert "redirects are not followed" in document["error"]["message"]
    assert "/elsewhere" not in [one.path for one in told.hook.posted]


def test_healthchecks_hears_of_begin_and_end(told: Noticing) -> None:
    url = f"healthchecks:http://127.0.0.1:{told.hook.port}/ping/{TOKEN}"
    told.daemon.good("notice", "add", "check", url, "--allow-plaintext", "--set", "home", "--set", "bad")
    told.daemon.good("backup", "home")
    told.hook.wait_for(2)
    # While the server is down a start grows old: what comes in its place is the end.
    told.hook.answers = [Answer(503), Answer(503)]
    told.fail()
    told.hook.wait_for(3)
    told.wait_for_warning("wait to be sent")
    for _ in range(3):
        told.minutes_pass(61)
        told.settle()
    assert "wait to be sent" not in told.warnings()
    paths, runs = zip(*(one.path.split("?rid=") for one in told.hook.posted), strict=True)
    ends = [path.removeprefix(f"/ping/{TOKEN}") for path in paths]
    assert ends[:2] == ["/start", ""]
    # A run that fails at once may have its start withdrawn before it was sent; after the end it never comes.
    starts = [at for at, end in enumerate(ends) if end == "/start"]
    assert set(ends[2:]) <= {"/start", "/fail"}
    assert ends[-1] == "/fail"
    assert max(starts) < ends.index("/fail")
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[2:])) == 1
    assert b"does not exist" in b" ".join(told.hook.posted[-1].body.split())


def test_apprise_sends_where_it_knows_the_way(told: Noticing) -> None:
    address = told.home / "apprise.url"
    address.write_text(f"json://127.0.0.1:{told.hook.port}/{TOKEN}\n")
    told.daemon.good("notice", "add", "phone", "--url-file", address, "--on", "failure")
    told.hook.answers = [Answer(), Answer(500)]
    told.daemon.good("notice", "test", "phone")
    (posted,) = told.hook.wait_for(1)
    assert posted.path.startswith(f"/{TOKEN}")
    assert "reaches you" in json.loads(posted.body)["message"]
    refused = told.daemon.json("notice", "test", "phone")
    assert "500" in refused["error"]["message"]
    address.write_text("nosuch address\n")
    unknown = told.daemon.json("notice", "test", "phone")
    assert unknown["exit"] == 2
    assert TOKEN not in json.dumps([refused, unknown, told.daemon.good("notice", "list")]) + told.daemon.said()


def test_addresses_are_never_shown_whole(told: Noticing) -> None:
    """Who may look at settings could else speak in the backup's name."""
    assert told.daemon.json("notice", "add", "a", f"ntfys://anna:{TOKEN}@host/topic")["exit"] == 2
    told.daemon.good("notice", "add", "slack", f"slack://{TOKEN}/B/C")
    told.daemon.good("notice", "add", "hook", f"https://example.org/{TOKEN}")
    told.daemon.good("notice", "edit", "hook", "--on", "digest", "--disable")
    shown = [
        *(told.daemon.bkctl(*words).stdout for words in (("notice", "list"), ("config", "export"))),
        json.dumps(told.daemon.json("notice", "edit", "hook", "--url", f"https://example.net/{TOKEN}")).encode(),
        json.dumps(told.daemon.json("notice", "list")).encode(),
    ]
    assert b"https://example.net/\\u2026" in shown[2] or "https://example.net/…".encode() in shown[2]
    assert not any(TOKEN.encode() in one for one in shown)
    # What is exported can be applied again where the address is known, and nowhere else.
    exported = json.dumps(told.daemon.good("config", "export")["config"]).encode()
    assert told.daemon.good("config", "apply", "-f", "-", stdin=exported)["changed"] is False
    told.daemon.good("notice", "remove", "slack", "--yes")
    document = told.daemon.json("config", "apply", "-f", "-", stdin=exported)
    assert document["exit"] == 2
    assert "part of its address is left out" in document["error"]["message"]


def test_notices_stand_in_conf_d_like_sets(told: Noticing) -> None:
    folder = told.daemon.config / "conf.d"
    folder.mkdir()
    file = folder / "notices.yaml"
    file.write_text("notices:\n- name: admins\n  url: 'mailto:'\n  on: [failure]\n  sets: [home]\n"
                    "contacts:\n- {name: anna, email: anna@example.org}\n")  # fmt: skip
    told.daemon.good("config", "reload")
    (notice,) = told.daemon.good("notice", "list")["notices"]
    assert (notice["on"], notice["recipients"], notice["kept_in"]) == (["failure"], ["anna@example.org"], str(file))
    assert told.daemon.json("notice", "edit", "admins", "--disable")["exit"] == 17
    assert told.daemon.json("set", "rename", "home", "house")["exit"] == 17
    assert told.daemon.good("config", "show")["files"][0]["contacts"] == ["anna"]
    whole = file.read_text()
    for wrong, line, words in (
        (whole.replace("sets: [home]", "sets: [nope]"), 5, "no set is called 'nope'"),
        (whole.replace("[failure]", "[failures]"), 4, "did you mean failure"),
        (whole.replace("anna@example.org", "anna at home"), 7, "is no e-mail address"),
    ):
        file.write_text(wrong)
        document = told.daemon.json("config", "reload")
        told_of = json.dumps(document["error"])
        assert f"{file}, line {line}: " in told_of, told_of
        assert words in told_of
        assert told.daemon.json("config", "check", file)["exit"] == (0 if "nope" in wrong else 2)
    file.unlink()
    told.daemon.good("config", "reload")
    (notice,) = told.daemon.good("notice", "list")["notices"]
    assert (notice["enabled"], notice["recipients"]) == (False, [])
    told.daemon.good("notice", "edit", "admins", "--enable", "--all-sets", "--on", "")
    told.daemon.good("notice", "edit", "admins", "--set", "home", "--no-allow-plaintext")
    told.daemon.good("set", "rename", "home", "house")
    assert told.daemon.good("notice", "list")["notices"][0]["sets"] == ["house"]
    told.daemon.good("set", "rename", "house", "home")


@pytest.mark.parametrize(("noun", "address"), [("notice", "mailto:anna@example.org"), ("contact", "anna@example.org")])
def test_only_what_is_named_is_forgotten(told: Noticing, noun: str, address: str) -> None:
    """A letter that all ids begin with names nothing: who mistypes removes what tells of failures."""
    identity = told.daemon.good(noun, "add", "anna", address)[noun]["id"]
    for word in (identity[0], identity[:4], "an", "anna/x"):
        document = told.daemon.json(noun, "remove", word, "--yes")
        assert (document["exit"], document["error"]["code"]) == (10, f"{noun}.not_found"), word
    assert told.daemon.good(noun, "remove", identity[:9], "--yes")["changed"] is True
    assert told.daemon.good(noun, "list")[f"{noun}s"] == []
