"""What `doctor` finds around the daemon: the mail server of its notices, and what else runs backups."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.daemon.other_starters import findings
from backupd.model.status import Finding
from tests.support.daemon import Daemon, running_daemon
from tests.support.servers.certificates import Authority
from tests.support.servers.mail_server import mail_server


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """One with a notice by mail and one that is off."""
    with running_daemon(tmp_path_factory.mktemp("around")) as daemon:
        daemon.good("notice", "add", "admins", "mailto:anna@example.org")
        daemon.good("notice", "add", "quiet", "mailto:ben@example.org")
        daemon.good("notice", "edit", "quiet", "--disable")
        yield daemon


def looked(daemon: Daemon, begin: str) -> dict[str, Any]:
    """The one finding whose name begins so."""
    all_of_them = daemon.json("doctor")["result"]["findings"]
    (found,) = [one for one in all_of_them if one["check"].startswith(begin)]
    assert found["verdict"] == "ok" or found["mend"]
    return dict(found)


def point_at(daemon: Daemon, port: int, **more: str) -> None:
    """Have mail go there."""
    lines = {"host": "127.0.0.1", "port": str(port), "security": "starttls", **more}
    text = "smtp:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items())
    (daemon.config / "backupd.yaml").write_text(text)
    daemon.good("config", "reload")


@contextmanager
def saying(words: bytes) -> Generator[int, None, None]:
    """The port of a server that says this to the first who comes, and then listens; nothing: it hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            end, _ = server.accept()
            with end:
                end.settimeout(20)
                end.sendall(words)
                while words and end.recv(100):
                    pass
                if not words:
                    end.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


def test_the_mail_server_is_tried_without_a_mail(daemon: Daemon, tmp_path: Path) -> None:
    """A port that a firewall closes is found before the night in which the mail is needed."""
    none = looked(daemon, "mail server")
    assert (none["verdict"], "none is set, for the notice admins: mail waits" in none["message"]) == ("wrong", True)
    with mail_server("none") as plain:
        point_at(daemon, plain.port)
        found = looked(daemon, "mail server")
        assert (found["verdict"], found["check"]) == ("ok", f"mail server 127.0.0.1:{plain.port}")
        assert found["message"] == "greets, for the notice admins"
        assert plain.received == []
    refused = looked(daemon, "mail server")
    assert (refused["verdict"], "Connection refused, for the notice admins" in refused["message"]) == ("wrong", True)
    assert "bkctl notice test admins" in refused["mend"]
    authority = Authority(tmp_path, "own")
    with mail_server("tls", authority.server("127.0.0.1")) as encrypted:
        point_at(daemon, encrypted.port, security="tls", ca_file=str(authority.file))
        assert looked(daemon, "mail server")["verdict"] == "ok"
        point_at(daemon, encrypted.port, security="tls")
        assert "its certificate is refused" in looked(daemon, "mail server")["message"]
        (tmp_path / "none.pem").write_text("no certificate\n")
        for name in ("none.pem", "gone.pem"):
            point_at(daemon, encrypted.port, security="tls", ca_file=str(tmp_path / name))
            found = looked(daemon, "mail server")
            assert f"{tmp_path / name} gives no certificates" in found["message"]
            assert "bkctl config set smtp.ca_file" in found["mend"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"554 no service here\r\n", "turns backupd away, for the notice admins: 554 no service here"),
        (b"SSH-2.0-x\x1b[2J\n", "turns backupd away, for the notice admins: SSH-2.0-x?[2J"),
        (b"", "does not greet within 5 s"),
    ],
)
def test_a_server_that_is_none_for_mail_is_told(daemon: Daemon, words: bytes, told: str) -> None:
    """One that hangs holds nobody for longer than said."""
    with saying(words) as port:
        point_at(daemon, port)
        began = time.monotonic()
        found = looked(daemon, "mail server")
        assert (found["verdict"], told in found["message"]) == ("wrong", True), found
        assert time.monotonic() - began < 15


def test_without_mail_nothing_is_tried(daemon: Daemon) -> None:
    """No notice goes there."""
    daemon.good("notice", "edit", "admins", "--disable")
    found = daemon.json("doctor")["result"]["findings"]
    assert not [one for one in found if one["check"].startswith("mail")]


def test_a_timer_beside_the_daemon_is_noticed(daemon: Daemon) -> None:
    """It was forgotten when the set got its schedule."""
    source = daemon.home / "source"
    source.mkdir()
    daemon.good("set", "create", "home", "--source", source, "--to", daemon.home / "place")
    units = daemon.home / "xdg" / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "nightly.timer").write_text("[Timer]\nOnCalendar=daily\nUnit=night.service\n")
    (units / "night.service").write_text("[Service]\nType=oneshot\nExecStart=/usr/bin/bkctl -q backup home\n")
    (units / "idle.service").write_text("[Service]\nExecStart=/usr/bin/bkctl backup home\n")
    found = looked(daemon, "other schedules")
    assert (found["verdict"], found["message"]) == (
        "ok",
        f"{units}/night.service, line 3 runs sets that have no schedule here",
    )
    daemon.good("schedule", "add", "home", "--daily", "03:00")
    found = looked(daemon, "other schedules")
    assert found["verdict"] == "look"
    assert f"{units}/night.service, line 3 runs home, as the daemon does by schedule" in found["message"]
    assert "lock" in found["message"]


def around(root: Path, *scheduled: str) -> list[Finding]:
    """What is found in a system below a directory."""
    return findings({"XDG_CONFIG_HOME": str(root / "conf")}, scheduled, str(root))


def test_cron_jobs_are_found_where_cron_looks(tmp_path: Path) -> None:
    """Each file and line, and nothing that cron passes over or that starts no backup."""
    assert [one.message for one in around(tmp_path)] == ["no cron job or timer that can be read runs backups"]
    written = {
        "etc/crontab": "# 1 * * * * root bkctl backup a\nPATH=/bin\n1 * * * * root cd / && /b/bin/bkctl backup home\n",
        "etc/cron.d/night": "1 2 * * * root bkctl --all-hosts job list; bkctl snapshot list backup\n",
        "etc/cron.d/old.disabled": "1 2 * * * root bkctl backup home\n",
        "etc/cron.daily/all": "#!/bin/sh\nsleep 1 | bkctl --retry-for 2h backup --all --if-running skip >/dev/null\n",
        "etc/cron.weekly/off": "#!/bin/sh\nbkctl backup home\n",
        "var/spool/cron/crontabs/anna": '@daily sh -c "bkctl once /home/anna --to /mnt/usb"\n',
        "var/spool/cron/ben": "@daily bkctl backup etc\n",
    }
    for name, text in written.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if "daily" in name else 0o644)
    found = around(tmp_path, "home", "work")
    told = {one.message.removeprefix(f"{tmp_path}/").partition(" runs ")[0]: one for one in found}
    assert {name: one.verdict for name, one in told.items()} == {
        "etc/crontab, line 3": "look",
        "etc/cron.daily/all, line 2": "look",
        "var/spool/cron/crontabs/anna, line 1": "look",
        "var/spool/cron/ben, line 1": "ok",
    }
    assert "runs home, as the daemon does" in told["etc/crontab, line 3"].message
    assert "runs home, work, as the daemon does" in told["etc/cron.daily/all, line 2"].message
    assert "runs `bkctl once` beside the daemon" in told["var/spool/cron/crontabs/anna, line 1"].message
    assert [one.verdict for one in around(tmp_path)].count("look") == 1


def test_odd_files_beside_cron_hold_nobody(tmp_path: Path) -> None:
    """Anybody may have a table of his own, with anything in it."""
    tables = tmp_path / "var" / "spool" / "cron" / "crontabs"
    tables.mkdir(parents=True)
    os.mkfifo(tables / "fifo")
    (tables / "folder").mkdir()
    (tables / "loop").symlink_to("loop")
    (tables / "binary").write_bytes(b"\0bkctl backup home\n")
    (tables / "raw").write_bytes(b"\xff\xfe bkctl backup home\n")
    (tables / "long").write_text("bkctl " * 400_000 + "\n")
    (tables / "options").write_text("bkctl " + "-a b " * 20_000 + "\n")
    (tables / "many").write_text("bkctl backup home\n" * 1000)
    began = time.process_time()
    found = around(tmp_path, "home")
    assert time.process_time() - began < 5
    assert len(found) == 20
    (tables / "many").unlink()
    assert [one.message.partition(" runs ")[0] for one in around(tmp_path, "home")] == [f"{tables}/raw, line 1"]
