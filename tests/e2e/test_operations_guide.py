"""docs/operations.md, word for word: who follows it in trouble must not meet a command that does not work."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bkctl.main import read_environment, run
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import TOP

GUIDE = TOP / "docs" / "operations.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "d") as made:
        (made.home / "home" / "anna").mkdir(parents=True)
        (made.home / "home" / "anna" / "letter").write_text("dear")
        (made.home / "usb").mkdir()
        (made.config / "conf.d").mkdir(exist_ok=True)
        yield made


def test_the_guide_works_from_its_first_command_to_its_last(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command ends as the guide says, 0 where it says nothing."""
    for name, value in daemon.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(daemon.home)
    environment = read_environment(daemon.environ)
    count = 0
    for command, wanted in commands(GUIDE.read_text(encoding="utf-8")):
        words = shlex.split(_here(command, daemon))
        if words[0] == "bkctl":
            code = run(words[1:], environment)
        else:
            shell = ["bash", "-c", _here(command, daemon)]
            code = subprocess.run(shell, check=False).returncode
        assert code in wanted, (command, code, capfd.readouterr())
        count += 1
    assert count > 30


def commands(text: str) -> Iterator[tuple[str, set[int]]]:
    """Each command with the exits that are said of it."""
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            command, _, said = line.partition(" # exit ")
            yield command, {int(word) for word in said.split(" or ")} if said else {0}


def _here(command: str, daemon: Daemon) -> str:
    """The same with the directories of this daemon."""
    for there, here in (
        ("/var/lib/backupd", daemon.state),
        ("/etc/backupd", daemon.config),
        ("/media/usb", daemon.home / "usb"),
        ("--source /home", f"--source {daemon.home / 'home'}"),
        ("--path /home", f"--path {daemon.home / 'home'}"),
    ):
        command = command.replace(there, str(here))
    return command
