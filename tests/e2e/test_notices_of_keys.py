"""Who was shown a key, or changed what opens a repository, is told of: the owner did it, or has to know."""

from __future__ import annotations

import getpass
import json
import signal
from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import pytest

from backupd.model.api import Question
from backupd.model.orders import KeyOrder
from backupd.seal.slot import new_secret, secret_to_text
from tests.support import slow_set
from tests.support.noticing import Noticing, noticing
from tests.support.raw_http import Raw
from tests.support.running import children

ANNA = "anna@example.org"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Noticing, None, None]:
    with noticing(tmp_path_factory.mktemp("keys")) as found:
        found.daemon.good("backup", "home")
        yield found


@pytest.fixture
def told(started: Noticing) -> Noticing:
    started.clear()
    started.daemon.good("notice", "add", "admins", f"mailto:{ANNA}")
    return started


def bodies(told: Noticing) -> list[str]:
    """Text and HTML of the mail, words with one space between them."""
    (mail,) = told.mail.wait_for(1)
    parts = [mail.message.get_body((kind,)) for kind in ("plain", "html")]
    return [" ".join(part.get_content().split()) for part in parts]  # type: ignore[union-attr]


@contextmanager
def _adding(told: Noticing, set_name: str) -> Generator[None, None, None]:
    """While the process that adds a password to the set's repository is there."""
    order = KeyOrder(place="", verb="add", set_name=set_name, new_secret=b"correct-horse-9")
    body = msgspec.json.encode(Question(order=order))
    words = b"POST /v1/questions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert told.daemon.process is not None
    pid = told.daemon.process.pid
    slow_set.wait_for(lambda: not list(children(pid)))
    with Raw(told.daemon.socket, words + body):
        slow_set.wait_for(lambda: bool(list(children(pid))))
        yield


def test_a_key_that_is_shown_is_mailed_as_text_and_html(told: Noticing) -> None:
    """And the mail holds nothing of it. What is asked without seeing a key is told nobody."""
    told.daemon.good("key", "show", "home")
    told.daemon.good("key", "list", "home")
    key = told.daemon.good("key", "show", "home", "--unmask", "--yes")["key"]
    for body in bodies(told):
        assert body.count(f"{getpass.getuser()} was shown the key k") == 1
        assert "of the repository of home at repo" in body
        steps = ("key list home", "key add home", "key remove k", "key rotate home")
        places = [body.find(f"bkctl {step}") for step in steps]
        assert places == sorted(places)
        assert -1 not in places
        assert key not in body
        assert key[:8] not in body
    assert told.mail.received[0].subject.startswith("home: key shown (")
    assert told.settle() == 1


def test_each_change_of_what_opens_a_repository_is_told(told: Noticing) -> None:
    """By its name; what was refused changed nothing, and is told nobody."""
    daemon, key = told.daemon, told.home / "anna.key"
    key.write_text(secret_to_text(new_secret()))
    daemon.good("key", "add", "home", "--label", "anna's", "--new-password-file", key)
    assert daemon.json("key", "remove", "nobody's", "home", "--yes")["exit"] == 10
    daemon.good("key", "remove", "anna's", "home", "--yes")
    daemon.good("key", "rotate", "home", "--yes")
    told.mail.wait_for(3)
    assert told.settle() == 3
    subjects = {one.subject.partition(" (")[0] for one in told.mail.received}
    assert subjects == {"home: key added", "home: key removed", "home: keys replaced"}


def test_a_change_that_broke_off_is_told_as_what_it_is(told: Noticing) -> None:
    """Else who hangs up at the right moment has added a password, and nobody hears of it."""
    with _adding(told, "home"):
        slow_set.kill_jobs(told.daemon)
    for text in bodies(told):
        assert "broke off; it may be done all the same" in text
    assert told.mail.received[0].subject.startswith("home: key added? (")


def test_a_change_is_told_of_a_set_that_was_removed_meanwhile(told: Noticing) -> None:
    """Else whoever removes the set, and hangs up, adds a password unseen."""
    daemon = told.daemon
    daemon.good("set", "create", "gone", "--source", told.home / "source", "--to", "repo")
    daemon.good("backup", "gone")
    with _adding(told, "gone"):
        daemon.good("set", "delete", "gone", "--yes")
        slow_set.kill_jobs(daemon)
    (mail,) = told.mail.wait_for(1)
    # The process may have been done before it was killed.
    assert mail.subject.startswith("gone: key added")


def test_another_login_of_a_destination_is_told(told: Noticing) -> None:
    """By command and by document: who has it read from elsewhere has backups go wherever that opens."""
    far = {"name": "far", "place": "webdavs://dav.example.org/b", "credentials": {"env": "FAR"}}

    def apply() -> None:
        told.daemon.good("config", "apply", "-f", "-", stdin=json.dumps({"destinations": [far]}).encode())

    apply()
    far["credentials"] = {"env": "FAR_2"}
    apply()
    (mail,) = told.mail.wait_for(1)
    assert mail.subject.startswith("far: login changed (")
    for body in bodies(told):
        assert f"{getpass.getuser()} changed the login of the destination far" in body
        assert "bkctl destination test far" in body
    far["proxy"] = "direct"
    apply()
    login = told.home / "far.login"
    login.write_text("user = anna\npassword = x\n")
    login.chmod(0o600)
    told.daemon.good("destination", "edit", "far", "--credentials-file", login, "--dry-run")
    told.daemon.good("destination", "edit", "far", "--credentials-file", login)
    told.mail.wait_for(2)
    assert told.settle() == 2
    told.daemon.good("destination", "remove", "far", "--yes")


def test_another_login_in_a_file_is_told_however_the_file_is_read(told: Noticing) -> None:
    """On a signal, with another setting, at a start: nobody has to ask for a reload for it to be in force."""
    daemon, file = told.daemon, told.daemon.config / "conf.d" / "near.yaml"

    def write(variable: str) -> None:
        place = {"name": "near", "place": "webdavs://dav.example.org/n", "credentials": {"env": variable}}
        file.write_text(json.dumps({"destinations": [place]}))

    file.parent.mkdir(exist_ok=True)
    write("NEAR")
    daemon.good("config", "reload")
    write("NEAR_2")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    (mail,) = told.mail.wait_for(1)
    assert mail.subject.startswith("near: login changed (")
    for body in bodies(told):
        assert "a file of conf.d changed the login of the destination near" in body
    write("NEAR_3")
    daemon.good("config", "set", "queue.jobs_at_once", "3")
    mail = told.mail.wait_for(2)[-1]
    assert f"{getpass.getuser()} changed the login" in " ".join(str(mail.message).split())
    daemon.stop()
    write("NEAR_4")
    daemon.start()
    mail = told.mail.wait_for(3)[-1]
    assert mail.subject.startswith("near: login changed (")
    assert told.settle() == 3
    file.unlink()
    daemon.good("config", "reload")
    daemon.good("destination", "remove", "near", "--yes")
