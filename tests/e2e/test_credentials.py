"""Secrets that the service manager gives to the daemon alone: a directory that is named in its environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from backupd.errors import KeyMissingError, UsageError
from backupd.model.secret_references import SecretReference
from backupd.rules.secret_rules import check_secret
from backupd.settings.credentials import MOST_BYTES, read_credential
from tests.support.daemon import Daemon

PASSWORD = "correct horse battery staple"


def test_a_set_whose_password_the_service_manager_gives(tmp_path: Path) -> None:
    """It is read where systemd put it, reaches the job as any secret does, and lies nowhere else."""
    given, source = tmp_path / "given", tmp_path / "source"
    for path in (given, source):
        path.mkdir()
    (given / "vault").write_text(f"{PASSWORD}\n")
    (source / "letter").write_text("dear\n")
    document = {
        "destinations": [{"name": "near", "place": str(tmp_path / "place")}],
        "sets": [
            {
                "name": "home",
                "sources": [str(source)],
                "to": ["near"],
                "encryption": "password",
                "password": {"credential": "vault"},
            }
        ],
    }
    (tmp_path / "sets.json").write_text(json.dumps(document))
    daemon = Daemon(tmp_path / "daemon")
    daemon.prefix = ["env", f"CREDENTIALS_DIRECTORY={given}"]
    daemon.start()
    try:
        daemon.good("config", "apply", "-f", tmp_path / "sets.json")
        assert daemon.good("set", "show", "home")["set"]["password"] == {"credential": "vault"}
        daemon.good("backup", "home")
        (tmp_path / "typed").write_text(PASSWORD)
        words = ("--from", tmp_path / "place", "--to", tmp_path / "back", "--password-file", tmp_path / "typed")
        daemon.good("--no-daemon", "restore", "home", *words)
        assert [path.read_text() for path in (tmp_path / "back").rglob("letter")] == ["dear\n"]
        assert PASSWORD not in daemon.said()
        (given / "vault").unlink()
        gone = daemon.json("backup", "home")["error"]
        assert gone["message"].endswith("the daemon was not started with the credential vault")
        daemon.stop()
        search = ["grep", "-rl", PASSWORD, str(daemon.home), str(tmp_path / "place")]
        found = subprocess.run(search, capture_output=True, check=False)
        assert (found.returncode, found.stdout) == (1, b"")
        daemon.prefix = ["env", "-u", "CREDENTIALS_DIRECTORY"]
        daemon.start()
        without = daemon.json("backup", "home")
        assert (without["exit"], without["error"]["code"]) == (12, "key.missing")
        assert "LoadCredential=vault:/path" in without["error"]["hint"]
    finally:
        daemon.stop()


@pytest.mark.parametrize("name", ["", ".", "..", "../vault", "a/b", "/etc/shadow", ".hid", "a b", "a\n", "x" * 256])
def test_a_credential_has_a_plain_name(name: str) -> None:
    """Any other one would be a way to a file."""
    with pytest.raises(UsageError) as refused:
        check_secret(SecretReference(credential=name))
    assert not name.strip(".") or name not in refused.value.message
    check_secret(SecretReference(credential="smtp.login-2"))
    with pytest.raises(UsageError, match="one of file, command, env, credential"):
        check_secret(SecretReference(credential="a", env="b"))


def test_what_is_no_file_with_a_secret_is_refused(tmp_path: Path) -> None:
    """A FIFO would hold the daemon for ever, a link lead to what is another's."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "whole").write_bytes(b"x" * MOST_BYTES)
    (tmp_path / "large").write_bytes(b"x" * (MOST_BYTES + 1))
    for name in ("fifo", "large"):
        with pytest.raises(UsageError, match=f"the credential {name} is"):
            read_credential(name, environ)
    for name in ("folder", "link"):
        with pytest.raises(KeyMissingError, match=f"can't read the credential {name}"):
            read_credential(name, environ)
    assert len(read_credential("whole", environ)) == MOST_BYTES
    for wrong in ({}, {"CREDENTIALS_DIRECTORY": "relative"}):
        with pytest.raises(KeyMissingError, match="started without any credentials"):
            read_credential("whole", wrong)
