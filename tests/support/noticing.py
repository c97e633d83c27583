"""A daemon that sends notices: to a mail server and a webhook server of the test, on clocks that the test moves."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.fake_clock import FakeClock, fake_clock
from tests.support.servers.certificates import Authority
from tests.support.servers.hook_server import HookServer, hook_server
from tests.support.servers.mail_server import PASSWORD, USER, MailServer, mail_server

SENDER = "backupd@example.org"


class TrustingDaemon(Daemon):
    """One whose programs trust the authority of the test."""

    def __init__(self, home: Path, authority: Authority, settings: str) -> None:
        super().__init__(home, settings=settings)
        self._authority = authority

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "SSL_CERT_FILE": str(self._authority.file)}


class Noticing:
    """All of it, with a set `home` that can be backed up, and a set `bad` whose source is not there."""

    def __init__(self, daemon: Daemon, mail: MailServer, hook: HookServer, clock: FakeClock) -> None:
        self.daemon, self.mail, self.hook, self.clock = daemon, mail, hook, clock

    @property
    def home(self) -> Path:
        return self.daemon.home

    def make_sets(self) -> None:
        source = self.home / "source"
        source.mkdir()
        (source / "letter").write_text("dear")
        document = {
            "destinations": [{"name": "repo", "place": str(self.home / "repo")}],
            "sets": [
                {"name": "home", "sources": [str(source)], "to": ["repo"]},
                {"name": "bad", "sources": [str(self.home / "gone")], "to": ["repo"]},
            ],
        }
        self.daemon.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())

    def clear(self) -> None:
        """No notices, no contacts, nothing received."""
        for noun in ("notice", "contact"):
            for one in self.daemon.good(noun, "list")[f"{noun}s"]:
                self.daemon.good(noun, "remove", one["name"], "--yes")
        self.mail.start()
        self.mail.received.clear()
        self.mail.at_data.clear()
        self.mail.at_recipient.clear()
        self.hook.posted.clear()
        self.hook.answers.clear()

    def fail(self, name: str = "bad") -> str:
        """A backup that fails; its job's id."""
        document = self.daemon.json("backup", name)
        assert document["exit"] == 10, document
        return str(self.daemon.good("job", "list", name)["jobs"][0]["id"])

    def minutes_pass(self, minutes: float) -> None:
        self.clock.pass_time(timedelta(minutes=minutes))

    def settle(self) -> int:
        """Wait until the daemon has seen what time it is and has sent all that is due; how many mails there are."""
        time.sleep(0.8)
        wait_until(lambda: "yes" if self._unsent() == 0 else "")
        return len(self.mail.received)

    def _unsent(self) -> int:
        with closing(sqlite3.connect(self.daemon.state / "catalog.sqlite")) as catalog:
            (count,) = catalog.execute(
                "SELECT COUNT(*) FROM outbox WHERE state = 'sending' OR (state = 'waiting' AND due_ns <= ?)",
                (self.clock.now_ns(),),
            ).fetchone()
        return int(count)

    def warnings(self) -> str:
        """What `status` says is wrong."""
        return "\n".join(self.daemon.good("status")["settings_warnings"])

    def wait_for_warning(self, words: str) -> str:
        return wait_until(lambda: found if words in (found := self.warnings()) else "")


def wait_until(look: Callable[[], str], seconds: float = 20.0) -> str:
    """What a look gives once that is something."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until
        time.sleep(0.1)


def settings_of(home: Path, mail: MailServer, authority: Authority) -> str:
    """Text of backupd.yaml with the mail server; writes its login."""
    login = home / "smtp.login"
    login.write_text(f"user = {USER}\npassword = {PASSWORD}\n")
    login.chmod(0o600)
    return (
        f"smtp:\n  host: 127.0.0.1\n  port: {mail.port}\n  login: {{file: {login}}}\n  from: {SENDER}\n"
        f"  ca_file: {authority.file}\n  timeout: 3s\n"
    )


@contextmanager
def noticing(home: Path) -> Generator[Noticing, None, None]:
    """Started; STARTTLS and the login are demanded by the mail server."""
    authority = Authority(home)
    with (
        mail_server("starttls", authority.server("mail"), login=True) as mail,
        hook_server() as hook,
    ):
        daemon = TrustingDaemon(home, authority, settings_of(home, mail, authority))
        with fake_clock(daemon) as clock:
            daemon.start()
            try:
                found = Noticing(daemon, mail, hook, clock)
                found.make_sets()
                yield found
            finally:
                if daemon.process is not None and daemon.process.poll() is None:
                    daemon.stop()
