"""`bkctl daemon …`: a service from its installation to its end, with a systemctl that does what systemd would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from backupd.errors import NotFoundError, UsageError
from bkctl.contract.output import RESULTS, schema
from bkctl.main import read_environment, run
from bkctl.service.files import others_can_write
from bkctl.service.manager import Wanted
from bkctl.service.scope import Scope
from bkctl.service.shipped import _PLACES, shipped
from bkctl.service.systemd import Systemd
from bkctl.session import Environment
from tests.support import bkctl_here
from tests.support.contract import strict
from tests.support.machine import TOP
from tests.support.ordinary_user import directory_of_user, run_as_reading_user

FAKE = f"#!/bin/sh\nexec {sys.executable} -S -m tests.support.fake_systemctl \"$@\"\n"
LATE = 'case "$*" in *disable*) mkdir {0}; echo > {0}/repository.json;; esac\n'
"""What a run that ends as the service does leaves."""
_SCHEMA = jsonschema_rs.validator_for(strict(schema()))
UNITS = ("backupd.service", "backupd.service.d/10-program.conf", "backupd.socket")


class Account:
    """An ordinary user whose systemd is a stand-in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: set[str] = set()
        """Commands of which a result was seen."""
        self.state, self.bin = home / "systemd", home / "bin"
        for path in (self.state, self.bin, home / "run"):
            path.mkdir(mode=0o777)
            path.chmod(0o777)
        self.units = home / "conf" / "systemd" / "user"
        (self.bin / "systemctl").write_text(FAKE)
        (self.bin / "systemctl").chmod(0o755)

    def environ(self, path: str) -> dict[str, str]:
        """What bkctl and systemctl see."""
        names = {"CONFIG": "conf", "DATA": "data", "STATE": "state", "CACHE": "cache"}
        below = {f"XDG_{name}_HOME": str(self.home / folder) for name, folder in names.items()}
        return below | {
            "HOME": str(self.home),
            "PATH": path,
            "PYTHONPATH": str(TOP),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "FAKE_SYSTEMD": str(self.state),
        }

    def json(self, *words: str | Path, path: str | None = None) -> dict[str, Any]:
        """The document of a command that this user gives, in a child of the test that has it loaded already."""
        environ = self.environ(f"{self.bin}:/usr/bin:/bin" if path is None else path)
        written = self.home / "document.json"

        def give() -> str:
            os.environ.clear()
            os.environ.update(environ)
            os.chdir(self.home)
            run([*map(str, words), "--json", "--output", str(written)], read_environment(environ))
            return written.read_text()

        document: dict[str, Any] = json.loads(str(run_as_reading_user(give)))
        if document["command"].startswith("daemon "):
            faults = [f"{fault.instance_path}: {fault.message}" for fault in _SCHEMA.iter_errors(document)]
            assert not faults, (words, faults, document)
            self.told |= {document["command"]} if document["result"] is not None else set()
        return document

    def good(self, *words: str | Path) -> dict[str, Any]:
        """The same, which has to end with 0; its result."""
        document = self.json(*words)
        assert document["exit"] == 0, document
        result: dict[str, Any] = document["result"]
        return result

    def files(self) -> list[str]:
        """Names of units that are there."""
        return sorted(str(path.relative_to(self.units)) for path in self.units.rglob("*") if path.is_file())


@pytest.fixture
def account() -> Generator[Account, None, None]:
    with directory_of_user() as home:
        made = Account(home)
        yield made
        pid = made.state / "pid"
        if pid.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.platform("linux")
def test_a_service_from_its_installation_to_its_end(account: Account) -> None:
    """Each step is told, the same again changes nothing, and what is the user's own stays."""
    nowhere = account.json("daemon", "install", "--start", path="/nonexistent")
    assert (nowhere["exit"], account.files()) == (10, [])
    assert "foreground" in nowhere["error"]["hint"]
    assert account.json("daemon", "start")["error"]["hint"] == "bkctl daemon install --user --start"
    planned = account.good("daemon", "install", "--start", "--dry-run")
    assert (planned["changed"], account.files()) == (True, [])
    done = account.good("daemon", "install", "--start")
    assert (done["diff"], done["commands"]) == (planned["diff"], planned["commands"])
    assert account.files() == sorted(UNITS)
    assert f"ExecStart={sys.executable} -P -m backupd" in (account.units / UNITS[1]).read_text()
    assert account.good("daemon", "install", "--start")["changed"] is False
    stands = account.good("daemon", "status")
    assert [stands[key] for key in ("installed", "enabled", "activity", "answers")] == [True, True, "running", True]
    assert (stands["outdated"], stands["next"]) == ([], [])
    assert account.good("daemon", "reload")["changed"] is False
    pid = stands["pid"]
    assert account.good("daemon", "restart")["changed"] is True
    assert account.good("daemon", "status")["pid"] != pid
    (account.units / UNITS[0]).write_text("[Service]\nExecStart=/bin/true\n")
    assert account.good("daemon", "status")["next"] == ["bring it up to date: bkctl daemon install --user --start"]
    assert account.good("daemon", "install", "--start")["commands"][-1][2] == "restart"
    assert account.good("daemon", "stop")["changed"] is True
    assert account.good("daemon", "stop")["changed"] is False
    stopped = account.json("daemon", "status")
    assert (stopped["exit"], stopped["result"]["next"]) == (13, ["start it: bkctl daemon start --user"])
    assert account.json("set", "list")["error"]["hint"] == "start it: bkctl daemon start --user"
    account.good("daemon", "start")
    override = account.units / "backupd.service.d" / "override.conf"
    override.write_text("[Service]\nNice=5\n")
    assert account.good("daemon", "uninstall", "--dry-run")["changed"] is True
    gone = account.good("daemon", "uninstall")
    assert (gone["changed"], gone["purged"], account.files()) == (True, [], ["backupd.service.d/override.conf"])
    assert account.good("daemon", "uninstall")["changed"] is False
    assert (account.home / "state" / "backupd" / "catalog.sqlite").exists()
    assert account.told >= {name for name in RESULTS if name.startswith("daemon ")}
    told = [json.loads(line) for line in (account.state / "told").read_text().splitlines()]
    assert all(words[0] == "--user" for words in told)


@pytest.mark.platform("linux")
def test_doctor_finds_what_is_wrong_with_a_service(account: Account) -> None:
    """A service that does not start at boot is noticed on the day it was needed."""

    def found() -> dict[str, tuple[str, str]]:
        findings = account.json("doctor", "--user")["result"]["findings"]
        return {one["check"]: (one["verdict"], one["mend"]) for one in findings}

    install = "bkctl daemon install --user --start"
    assert found()["service"] == ("look", install)
    machine = account.json("doctor")["result"]["findings"]
    assert ("service", "bkctl daemon install --system --start") in [(one["check"], one["mend"]) for one in machine]
    account.good("daemon", "install", "--start")
    well = found()
    assert {well[name][0] for name in ("service", "units", "boot", "daemon")} == {"ok"}
    assert well["lingering"] == ("look", "loginctl enable-linger")
    program = account.units / UNITS[1]
    program.write_text(program.read_text().replace(sys.executable, "/opt/old/python"))
    (account.state / "enabled").write_text("disabled")
    ill = found()
    assert (ill["units"][0], ill["boot"]) == ("look", ("wrong", install))
    account.good("daemon", "install")
    account.good("daemon", "stop")
    stopped = found()
    assert stopped["service"] == ("wrong", "bkctl daemon start --user")
    assert stopped["daemon"][0] == "wrong"
    (account.state / "state").write_text("failed")
    assert "journalctl --user -e -u backupd" in found()["service"][1]
    assert "journalctl --user -e" in account.json("daemon", "status")["result"]["next"][0]


@pytest.mark.platform("linux")
def test_what_fails_is_taken_back(account: Account) -> None:
    """A half of an installation starts at the next boot, and fails there with nobody looking."""
    (account.state / "fails").write_text("enable")
    failed = account.json("daemon", "install", "--start")
    assert (failed["exit"], failed["error"]["message"].endswith("Job for backupd.service failed.")) == (1, True)
    assert account.files() == []
    (account.state / "fails").write_text("start")
    assert account.json("daemon", "install", "--start")["exit"] == 1
    left = [(account.state / name).exists() for name in ("listens", "pid")]
    assert (account.files(), left, (account.state / "enabled").read_text()) == ([], [False, False], "disabled")
    (account.state / "fails").unlink()
    account.good("daemon", "install")
    before = {name: (account.units / name).read_bytes() for name in UNITS}
    (account.units / UNITS[2]).write_text("[Socket]\n")
    (account.state / "fails").write_text("daemon-reload")
    assert account.json("daemon", "install")["exit"] == 1
    assert (account.units / UNITS[2]).read_text() == "[Socket]\n"
    (account.state / "fails").unlink()
    account.good("daemon", "install")
    assert {name: (account.units / name).read_bytes() for name in UNITS} == before
    (account.units / UNITS[2]).unlink()
    (account.units / UNITS[2]).symlink_to("/dev/null")
    masked = account.json("daemon", "install")
    assert (masked["exit"], masked["error"]["hint"][:32]) == (17, "systemctl --user unmask backupd.")


@pytest.mark.platform("linux")
def test_a_purge_takes_everything_but_backups(account: Account) -> None:
    """It is refused while it could cost the only copy of a key, or a backup, or was not confirmed."""
    account.good("daemon", "install", "--start")
    source, place = account.home / "source", account.home / "data" / "backupd" / "place"
    source.mkdir()
    (source / "letter").write_text("dear")
    for path in (source, account.home):
        path.chmod(0o777)
    account.good("set", "create", "home", "--source", source, "--to", account.home / "place")
    account.good("backup", "home")
    refused = account.json("daemon", "uninstall", "--purge")
    assert (refused["exit"], "nobody proved" in refused["error"]["message"]) == (17, True)
    key = account.home / "key"
    key.write_text(account.good("key", "show", "home", "--unmask", "--yes")["key"])
    account.good("key", "prove", "home", "--password-file", key)
    account.good("destination", "add", "inside", place)
    inside = account.json("daemon", "uninstall", "--purge")
    assert (inside["exit"], str(place) in inside["error"]["message"]) == (17, True)
    (account.home / "password").write_text("correct horse battery staple\n")
    account.good("once", source, "--to", place, "--new-password-file", account.home / "password")
    account.good("destination", "remove", "inside", "--yes")
    unlisted = account.json("daemon", "uninstall", "--purge")
    assert (unlisted["exit"], f"a repository lies in {place}" in unlisted["error"]["message"]) == (17, True)
    place.rename(account.home / "moved")
    password = account.home / "state" / "backupd" / "secret"
    password.write_text("correct horse battery staple\n")
    reference = ("--encryption", "password", "--password-file", password)
    account.good("set", "create", "locked", "--source", source, "--to", account.home / "other", *reference)
    locked = account.json("daemon", "uninstall", "--purge")
    assert (locked["exit"], f"the password of locked lies in {password}" in locked["error"]["message"]) == (17, True)
    password.rename(account.home / "secret")
    unconfirmed = account.json("daemon", "uninstall", "--purge")
    name = unconfirmed["error"]["context"]["confirm"]
    assert unconfirmed["exit"] == 22
    assert account.json("daemon", "uninstall", "--purge", "--confirm", f"not-{name}")["exit"] == 22
    assert account.good("daemon", "status")["answers"] is True, "nothing was done yet"
    directories = [str(account.home / folder / "backupd") for folder in ("conf", "data", "state", "cache")]
    there = [path for path in directories if Path(path).exists()]
    assert account.good("daemon", "uninstall", "--purge", "--dry-run")["purged"] == there
    late = account.home / "state" / "backupd" / "late"
    (account.bin / "systemctl").write_text(FAKE.replace("exec", LATE.format(late) + "exec", 1))
    changed = account.json("daemon", "uninstall", "--purge", "--confirm", name)
    assert (changed["exit"], f"a repository lies in {late}" in changed["error"]["message"]) == (17, True)
    assert ("the service is gone" in changed["error"]["hint"], account.files()) == (True, [])
    assert all(Path(path).exists() for path in there)
    shutil.rmtree(late)
    (account.bin / "systemctl").write_text(FAKE)
    account.good("daemon", "install", "--start")
    assert account.good("daemon", "uninstall", "--purge", "--confirm", name)["purged"] == there
    assert not any(Path(path).exists() for path in directories)
    assert any((account.home / "place").glob("*/snapshots/*/*"))
    assert any((account.home / "moved").rglob("snapshots/*/*"))
    assert account.json("daemon", "uninstall", "--purge")["exit"] == 13


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("systemctl", "groupadd")
def test_an_image_of_another_system_gets_its_service(tmp_path: Path) -> None:
    """Group, socket, further rights and the start at boot, by the real systemctl."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")

    def install(*words: str) -> dict[str, Any]:
        command = ["daemon", "install", "--system", "--root", str(tmp_path), *words, "--json"]
        done = bkctl_here.bkctl(command, os.environ, tmp_path)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    units = tmp_path / "etc" / "systemd" / "system"
    more = ("--socket-group", "backup-readers", "--socket-mode", "0666", "--with", "fs-snapshots")
    assert install(*more, "--dry-run")["result"]["changed"] is True
    assert not units.exists()
    first = install(*more)
    assert first["exit"] == 0
    assert "install backupd there" in first["warnings"][0]
    assert "backup-readers:x:" in (tmp_path / "etc" / "group").read_text()
    access = (units / "backupd.socket.d" / "10-access.conf").read_text()
    assert access.endswith("[Socket]\nSocketGroup=backup-readers\nSocketMode=0666\n")
    assert (units / "multi-user.target.wants" / "backupd.service").is_symlink()
    assert (units / "sockets.target.wants" / "backupd.socket").is_symlink()
    again = install()
    assert (again["result"]["changed"], again["result"]["commands"]) == (False, []), "what is not given stays"
    assert install("--without", "fs-snapshots", "--socket-group", "backupd", "--socket-mode", "0660")["exit"] == 0
    assert not (units / "backupd.socket.d").exists()
    assert [path.name for path in (units / "backupd.service.d").iterdir()] == ["10-program.conf"]
    assert stat.S_IMODE((units / "backupd.service").stat().st_mode) == 0o644
    for words in (("--with", "wings"), ("--socket-group", "a b"), ("--start",), ("--user",)):
        assert install(*words)["exit"] == 2, words


@pytest.mark.platform("linux")
@pytest.mark.needs("systemd-analyze")
def test_a_program_with_an_odd_path_is_started(tmp_path: Path) -> None:
    """A virtual environment may lie anywhere; what systemd reads otherwise starts nothing at boot."""
    program = tmp_path / "a b 50% $HOME" / "python"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    environment = Environment(xdg={"XDG_CONFIG_HOME": str(tmp_path)})
    variables = {"XDG_STATE_HOME": "/home/a b/100%"}
    manager = Systemd(Scope(False, environment))
    with pytest.raises(UsageError, match="can't stand in a unit"):
        manager.wanted(Wanted(program=('/a"b/python',)))
    files = manager.wanted(Wanted(program=(str(program), "-P"), variables=variables))
    for path, data in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)
    unit = str(tmp_path / "systemd" / "user" / "backupd.service")
    command = ["systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no", unit]
    environ = {**os.environ, "XDG_RUNTIME_DIR": "/run", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@pytest.mark.root
def test_root_is_told_when_others_can_change_what_it_runs(tmp_path: Path) -> None:
    """A service of root's from a user's home makes that user root."""
    program = tmp_path / "venv" / "python"
    program.parent.mkdir()
    program.write_text("")
    above = tmp_path
    assert others_can_write(str(program)) is None
    program.parent.chmod(0o777)
    assert others_can_write(str(program)) == str(program.parent)
    program.parent.chmod(0o755)
    os.chown(program.parent, 1234, 0)
    assert others_can_write(str(program)) == str(program.parent)
    link = above / "link"
    link.symlink_to(program)
    assert others_can_write(str(link)) == str(program.parent)


def test_an_installed_package_has_the_files() -> None:
    """In a wheel there is no folder beside the package: a service could not be installed from it."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    where = _PLACES[0].relative_to(TOP)
    assert included == {name: str(where / name) for name in ("launchd", "systemd")}
    assert shipped("systemd/backupd.service") == (TOP / "systemd" / "backupd.service").read_bytes()
    with pytest.raises(NotFoundError):
        shipped("systemd/none")
