"""The service with launchd, by a launchctl that refuses what launchd's would: macOS itself is not here."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path

import pytest

from bkctl.service import installing
from bkctl.service.launchd import Launchd
from bkctl.service.manager import Wanted
from bkctl.service.scope import Scope
from bkctl.session import Environment

LAUNCHCTL = """#!/bin/sh
case $1 in
version) ;;
print) test -e "$LOADED" && echo "pid = 7" ;;
bootstrap) ! test -e "$LOADED" && touch "$LOADED" ;;
bootout) rm "$LOADED" ;;
*) exit 64 ;;
esac
"""
"""What is loaded is refused, and what is not can't be let go."""


@pytest.mark.parametrize("is_system", [True, False])
def test_launchd_is_told_the_same(is_system: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no systemd; what it reads is looked at here, and which words launchctl is told."""
    known = {"Label", "ProgramArguments", "RunAtLoad", "KeepAlive", "ThrottleInterval", "ExitTimeOut", "ProcessType"}
    known |= {"Umask", "SoftResourceLimits", "StandardErrorPath", "EnvironmentVariables"}
    manager = Launchd(Scope(is_system, Environment()))
    ((path, data),) = manager.wanted(Wanted(program=("/venv <&>/python", "-P"), variables={"A": "<b>"})).items()
    found = plistlib.loads(data)
    assert found.keys() <= known
    assert Path(path).name == f"{found['Label']}.plist"
    assert (found["ProgramArguments"], found["EnvironmentVariables"]) == (
        ["/venv <&>/python", "-P"],
        {"A": "<b>"},
    )
    assert (found["RunAtLoad"], found["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert (found["ExitTimeOut"], found["Umask"]) == (30, 0o077)
    domain = "system" if is_system else f"gui/{os.geteuid()}"
    bootout = ["launchctl", "bootout", f"{domain}/{found['Label']}"]
    bootstrap = ["launchctl", "bootstrap", domain, path]
    launchctl = tmp_path / "launchctl"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    launchctl.write_text("#!/bin/sh\nexit 113\n")
    launchctl.chmod(0o755)
    assert manager.load() == manager.restart() == manager.start() == [bootstrap]
    assert manager.unload() == manager.stop() == [], "what is not loaded can't be let go"
    launchctl.write_text("#!/bin/sh\necho state = not running\n")
    assert manager.load() == manager.restart() == [bootout, bootstrap]
    assert manager.start() == [["launchctl", "kickstart", bootout[2]]]
    assert manager.unload() == manager.stop() == [bootout]


@pytest.mark.platform("linux")
def test_launchd_is_told_each_thing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses to take on what it has, and to let go what it has not: an installation would be taken back."""
    for name, value in (("HOME", tmp_path), ("PATH", f"{tmp_path}:/usr/bin:/bin"), ("LOADED", tmp_path / "loaded")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(installing, "manager_of", Launchd)
    (tmp_path / "launchctl").write_text(LAUNCHCTL)
    (tmp_path / "launchctl").chmod(0o755)
    scope, wanted = Scope(False, Environment()), Wanted(program=("/python",))
    is_loaded = (tmp_path / "loaded").exists
    made = installing.install(scope, wanted, start=True, dry_run=False)
    assert ([words[1] for words in made.commands], is_loaded()) == (["bootstrap"], True)
    assert installing.install(scope, wanted, start=True, dry_run=False).commands == []
    again = installing.install(scope, Wanted(program=("/other",)), start=True, dry_run=False)
    assert ([words[1] for words in again.commands], again.warnings) == (["bootout", "bootstrap"], [])
    manager = Launchd(scope)
    installing.direct(scope, manager.stop())
    installing.direct(scope, manager.restart())
    installing.direct(scope, manager.stop())
    assert (installing.uninstall(scope, dry_run=False).commands, manager.installed()) == ([], {})
