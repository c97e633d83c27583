"""`doctor`, `info` and keys by set on a real daemon."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import tarfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd import __version__
from backupd.daemon.doctor_routes import disk_access
from backupd.model.striking import strike
from bkctl.daemon_client import DaemonClient
from bkctl.reaching import reach
from tests.support.daemon import Daemon, running_daemon
from tests.support.ordinary_user import directory_of_user, run_as_user

SECRET = "hunter2-in-a-url"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with two sets in one place, each with a repository and key of its own."""
    home = tmp_path_factory.mktemp("doctor")
    source = home / "source"
    source.mkdir()
    (source / "letter").write_text("dear doctor\n")
    with running_daemon(home) as daemon:
        for name in ("home", "etc"):
            tag = f"from=https://anna:{SECRET}@example.org/"
            daemon.good("set", "create", name, "--source", source, "--to", home / "repo", "--tag", tag)
            daemon.good("backup", name)
        yield daemon


def findings(daemon: Daemon, *words: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and findings by name."""
    document = daemon.json("doctor", *words)
    found = {one["check"]: one for one in document["result"]["findings"]}
    assert all(one["mend"] for one in found.values() if one["verdict"] != "ok")
    return document["exit"], found


def prove(daemon: Daemon, name: str) -> None:
    """Type a set's key in."""
    typed = daemon.home / f"typed-{name}"
    typed.write_text(daemon.good("key", "show", name, "--unmask", "--yes")["key"])
    daemon.good("key", "prove", name, "--password-file", typed)


def test_keys_by_set(daemon: Daemon) -> None:
    """Two sets in one place have two keys; the wrong sheet is a lost backup."""
    shown = {name: daemon.good("key", "show", name) for name in ("home", "etc")}
    assert shown["home"]["repository"] != shown["etc"]["repository"]
    sheet = daemon.bkctl("key", "sheet", "home", "--yes").stdout.decode()
    place = f"{daemon.home}/repo/{shown['home']['repository']}"
    assert f"bkctl restore home --from {place} --to restored --password-file recovery.key" in sheet
    assert daemon.good("key", "list", "etc")["repository"] == shown["etc"]["repository"]
    assert daemon.json("key", "show", "nosuch")["exit"] == 10
    assert daemon.json("key", "show", "home", "--from", "repo")["result"]["repository"] == shown["home"]["repository"]
    alone = daemon.json("--no-daemon", "key", "show", "home", "--from", daemon.home / "repo")
    assert (alone["exit"], "--from" in alone["error"]["hint"]) == (2, True)


def test_the_sheets_commands_work_on_another_machine(daemon: Daemon) -> None:
    """The sheet is read when everything else is gone: its last line is all that the user has."""
    sheet = daemon.bkctl("key", "sheet", "home", "--yes").stdout.decode()
    command = next(line.split() for line in sheet.splitlines() if line.strip().startswith("bkctl restore"))
    (daemon.home / "recovery.key").write_text(daemon.good("key", "show", "home", "--unmask", "--yes")["key"])
    elsewhere = {"XDG_DATA_HOME": str(daemon.home / "elsewhere"), "BACKUPD_SOCKET": "/nonexistent/socket"}
    done = daemon.bkctl(*command[1:], variables=elsewhere)
    assert done.returncode == 0, done.stderr
    restored = daemon.home / "restored" / str(daemon.home).lstrip("/") / "source" / "letter"
    assert restored.read_text() == "dear doctor\n"


def test_first_run_names_a_command_that_works(daemon: Daemon) -> None:
    """The line about the key is the one that must not be wrong."""
    run = daemon.good("backup", "home")["runs"][0]
    assert run["key"]["sheet_command"] == "bkctl key sheet home"


def test_doctor_finds_unproved_keys_then_nothing(daemon: Daemon) -> None:
    """A doctor who always complains is no longer asked."""
    code, found = findings(daemon)
    assert (code, found["key"]["verdict"]) == (21, "look")
    for name in ("home", "etc"):
        prove(daemon, name)
    code, found = findings(daemon)
    assert {one["verdict"] for one in found.values()} == {"ok"}
    assert code == 0
    assert {"daemon", "version", "access", "socket", "reserve", "state", "clock", "key", "settings"} < set(found)
    assert "free" in found["destination repo"]["message"]


def test_doctor_tries_destinations_and_leaves_nothing(daemon: Daemon) -> None:
    """A disk that is not there is found before the night; the trial itself is no litter."""
    before = sorted((daemon.home / "repo").rglob("*"))
    away = daemon.home / "unplugged" / "backup"
    daemon.good("destination", "add", "usb", away)
    daemon.good("destination", "add", "drive", daemon.home / "carried" / "backup", "--absent", "skip")
    daemon.good("destination", "add", "new", daemon.home / "new")
    (daemon.home / "file").write_text("")
    daemon.good("destination", "add", "taken", daemon.home / "file")
    code, found = findings(daemon)
    assert (code, found["destination usb"]["verdict"]) == (21, "wrong")
    assert "does not exist" in found["destination usb"]["message"]
    assert found["destination drive"]["verdict"] == "ok"
    assert (found["destination new"]["verdict"], (daemon.home / "new").exists()) == ("ok", False)
    assert found["destination taken"]["verdict"] == "wrong"
    assert sorted((daemon.home / "repo").rglob("*")) == before
    for name in ("usb", "drive", "new", "taken"):
        daemon.good("destination", "remove", name, "--yes")


def test_doctor_sees_a_lost_key(daemon: Daemon) -> None:
    """A key directory that was cleaned up is found while the sheet is at hand."""
    path = Path(daemon.good("key", "show", "etc")["file"])
    kept = path.rename(path.with_suffix(".away"))
    try:
        code, found = findings(daemon)
        assert (code, found["key"]["verdict"]) == (21, "wrong")
        assert "etc" in found["key"]["message"]
        assert "Key not kept here: etc" in daemon.bkctl("status").stdout.decode()
        assert str(path) in found["key"]["mend"]
        assert str(path) in daemon.json("key", "show", "etc")["error"]["hint"]
    finally:
        kept.rename(path)


def test_a_key_that_was_copied_in_place_of_the_key_directory_is_told(daemon: Daemon) -> None:
    """By whatever is asked; what is not encrypted needs none, and goes on."""
    path = Path(daemon.good("key", "show", "etc")["file"])
    daemon.good("set", "create", "clear", "--source", daemon.home / "source", "--to", "repo", "--encryption", "none")
    away = path.parent.rename(daemon.home / "keys.away")
    path.parent.write_bytes((away / path.name).read_bytes())
    try:
        said = daemon.json("key", "show", "etc")["error"]
        assert (said["code"], said["hint"][:3], str(path) in said["hint"]) == ("key.directory", "mv ", True)
        code, found = findings(daemon)
        assert (code, found["key"]["mend"]) == (21, said["hint"])
        told = daemon.bkctl("status").stdout.decode()
        assert said["hint"] in told
        assert daemon.json("backup", "clear")["warnings"] == []
        (row,) = [one for one in daemon.good("status")["sets"] if one["set"] == "clear"]
        assert row["key"] == "unneeded"
        assert daemon.json("key", "list", "clear")["warnings"] == []
    finally:
        path.parent.unlink()
        away.rename(path.parent)
        daemon.good("set", "delete", "clear", "--yes")


def test_bundle_holds_no_secret(daemon: Daemon) -> None:
    """A bundle goes to a stranger who helps."""
    file = daemon.home / "bundle.tar.gz"
    key = daemon.good("key", "show", "home", "--unmask", "--yes")["key"]
    unreadable = daemon.home / "unplugged"
    unreadable.mkdir()
    words = ("--source", daemon.home / "source", "--source", unreadable, "--to", daemon.home / "repo")
    daemon.good("set", "create", "away", *words)
    unreadable.rmdir()
    assert daemon.json("backup", "away")["exit"] == 3
    planned = daemon.json("doctor", "--bundle", file, "--dry-run")["result"]["files"]
    assert not file.exists()
    daemon.bkctl("doctor", "--bundle", file)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    with tarfile.open(file) as archive:
        assert {one.mode for one in archive} == {0o600}
        texts = {one.name: (archive.extractfile(one) or io.BytesIO()).read().decode() for one in archive}
    assert texts.keys() == planned.keys()
    documents = {name.removeprefix("backupd-bundle/").removesuffix(".json"): text for name, text in texts.items()}
    assert not [name for name, text in documents.items() if SECRET in text or key in text]
    found = {name: json.loads(text) for name, text in documents.items() if not name.endswith(".txt")}
    assert [one["text"]["name"] for one in found["sets"]["sets"]] == ["away", "etc", "home"]
    assert found["jobs"]["jobs"]
    logs = [line for name, lines in found.items() if name.startswith("logs/") for line in lines]
    assert str(unreadable) in {line.get("path") for line in logs}
    assert {"n", "time", "severity", "step", "message"} <= logs[0].keys()
    assert {one["key"]: one["value"] for one in found["settings"]["settings"]}["queue.jobs_at_once"] == 2
    assert found["versions"]["bkctl"] == __version__
    again = daemon.json("doctor", "--bundle", file)
    assert (again["exit"], daemon.json("doctor", "--dry-run")["exit"]) == (17, 2), "what is there is kept"


def test_doctor_tries_each_server_once(daemon: Daemon) -> None:
    """A firewall in the way is named, with host and port, and for whom; a proxy is what is tried where there is one."""
    with socket.create_server(("127.0.0.1", 0)) as open_port, socket.create_server(("127.0.0.1", 0)) as taken:
        shut = taken.getsockname()[1]
        taken.close()
        port = open_port.getsockname()[1]
        made = {"one": f"sftp://x@127.0.0.1:{shut}/a", "two": f"sftp://x@127.0.0.1:{shut}/b"}
        document: dict[str, Any] = {"destinations": [{"name": name, "place": one} for name, one in made.items()]}
        document["destinations"].append(
            {"name": "proxied", "place": "webdavs://store.invalid/a", "proxy": {"url": f"http://127.0.0.1:{port}"}}
        )
        file = daemon.home / "servers.json"
        file.write_text(json.dumps(document))
        daemon.good("config", "apply", "-f", file)
        found = {one.check: one for one in reach(DaemonClient(str(daemon.socket), ""))}
    assert found.keys() == {f"server 127.0.0.1:{shut}", f"server 127.0.0.1:{port}"}
    assert found[f"server 127.0.0.1:{shut}"].verdict == "wrong"
    assert "for one, two: Connection refused" in found[f"server 127.0.0.1:{shut}"].message
    assert found[f"server 127.0.0.1:{port}"].message == "answers, for proxied"
    for name in ("one", "two", "proxied"):
        daemon.good("destination", "remove", name, "--yes")


def test_macos_has_to_let_the_daemon_read(tmp_path: Path) -> None:
    """Without Full Disk Access neither backup nor restore is whole; the steps are told."""
    protected = tmp_path / "TCC.db"
    protected.write_text("x")
    assert disk_access(str(protected)).verdict == "ok"
    assert disk_access(str(tmp_path / "none")).verdict == "ok"
    with directory_of_user() as home:
        moved = home / "TCC.db"
        moved.write_text("x")
        moved.chmod(0)
        found = run_as_user(lambda: [disk_access(str(moved)).verdict, disk_access(str(moved)).mend])
    assert isinstance(found, list)
    assert found[0] == "wrong"
    assert "Full Disk Access" in found[1]


def test_secrets_are_struck_out_by_name_and_by_look() -> None:
    """What is struck out too little is published; ids and paths are what a helper needs."""
    key = "Ab3-" * 11
    told = {
        "password": {"command": ["pass", "show"]},
        "smtp.password": "x",
        "url": "sftp://u:pw@host/p",
        "odd": "see sftp://u:p@s/s:\"w@host/p, not https://host:443/a@b or http://[::1]:80/x@y",
        "page": '<a href="ftp://u:1234@h/x">mail me@home</a>',
        "line": f"typed {key} wrong",
        "grouped": " ".join(key[at : at + 4] for at in range(0, 44, 4)),
        "snapshot": "s" + "0" * 32,
        "path": "/home/anna/letter",
    }
    assert strike(told) == {
        "password": "***",
        "smtp.password": "***",
        "url": "sftp://u:***@host/p",
        "odd": "see sftp://u:***@host/p, not https://host:443/a@b or http://[::1]:80/x@y",
        "page": '<a href="ftp://u:***@h/x">mail me@home</a>',
        "line": "typed *** wrong",
        "grouped": "***",
        "snapshot": told["snapshot"],
        "path": told["path"],
    }


@pytest.mark.parametrize("part", ["a", "x://y:", "-", ":", "://", "@"])
def test_a_long_line_is_struck_in_time(part: str) -> None:
    """Anybody who names a file can have it in a log; with work for each pair of signs this takes an hour."""
    began = time.process_time()
    strike("http://" + part * (2_000_000 // len(part)))
    assert time.process_time() - began < 5


def test_info_tells_the_daemon(daemon: Daemon) -> None:
    """A bug report says which daemon answered."""
    found = daemon.good("info")["daemon"]
    assert daemon.process is not None
    assert (found["pid"], found["socket"]) == (daemon.process.pid, str(daemon.socket))
    assert found["destinations"] == {"repo": str(daemon.home / "repo")}
    assert "daemon" not in daemon.good("--no-daemon", "info")


def test_doctor_without_a_daemon(tmp_path: Path) -> None:
    """The first thing that is wrong is mostly that nothing runs."""
    code, found = findings(Daemon(tmp_path))
    assert (code, found["daemon"]["verdict"]) == (21, "wrong")
    assert "start it" in found["daemon"]["mend"]
