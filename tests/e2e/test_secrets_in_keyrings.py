"""A set's password in a keyring: that of keyrings.alt, which is a file, put there by the library's own command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import KeyMissingError
from backupd.settings.desktop_keyring import read_keyring
from tests.support.daemon import Daemon

_PLAIN, _NONE = "keyrings.alt.file.PlaintextKeyring", "keyring.backends.fail.Keyring"


class KeyringDaemon(Daemon):
    """One of somebody whose keyring is chosen by the environment."""

    backend = _PLAIN

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "PYTHON_KEYRING_BACKEND": self.backend}

    def keyring(self, verb: str, name: str, secret: str = "") -> None:
        """Change an entry, as a user does."""
        command = [sys.executable, "-P", "-m", "keyring", verb, "backupd", name]
        subprocess.run(command, input=secret, env=self.environ, check=True, capture_output=True, text=True)


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[KeyringDaemon, None, None]:
    found = KeyringDaemon(tmp_path / "home")
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_a_password_is_read_at_each_run(daemon: KeyringDaemon, tmp_path: Path) -> None:
    """With what is wrong named, where it is gone: the run fails, and says how to put it back."""
    daemon.keyring("set", "home", "correct horse battery")
    (tmp_path / "letter").write_text("dear")
    document = {
        "destinations": [{"name": "repo", "place": str(tmp_path / "repo")}],
        "sets": [
            {
                "name": "home",
                "sources": [str(tmp_path / "letter")],
                "to": ["repo"],
                "encryption": "password",
                "password": {"keyring": "home"},
            }
        ],
    }
    daemon.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())
    daemon.good("backup", "home")
    assert daemon.good("set", "show", "home")["set"]["password"] == {"keyring": "home"}
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    listed = daemon.good("snapshot", "list", "--from", tmp_path / "repo", "--password-file", password)
    assert len(listed["snapshots"]) == 1
    daemon.keyring("del", "home")
    failed = daemon.json("backup", "home")
    assert (failed["exit"], failed["error"]["code"]) == (12, "key.missing")
    assert "keyring set backupd home" in failed["error"]["hint"]


@pytest.mark.parametrize(
    ("backend", "message"),
    [(_NONE, "there is no keyring"), (_PLAIN, "has no entry nothing"), ("no.such.Keyring", "can't be read: ")],
)
def test_what_is_wrong_with_a_keyring_is_said(
    backend: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(KeyMissingError, match=message) as found:
        read_keyring("nothing")
    assert found.value.hint


def test_without_the_library_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeyMissingError, match="not installed") as found:
        read_keyring("home")
    assert "backupd[keyring]" in found.value.hint


def test_a_library_of_the_directory_that_it_was_started_in_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever may write there would read what the daemon reads."""
    (tmp_path / "keyring.py").write_text("print('mine')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", _NONE)
    with pytest.raises(KeyMissingError):
        read_keyring("home")
