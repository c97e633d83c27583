"""Commands of presets whose servers the tests do not have, and secrets in files without names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backupd.model.streams import StreamOrder, StreamText
from backupd.operations.streams.commands import dump_command
from backupd.operations.streams.secret_files import SecretFile
from backupd.store_errors import StreamError


def _program(folder: Path, name: str) -> None:
    """One that says which words and which file it was given."""
    (folder / name).write_text('#!/bin/sh\necho "$@"\ncat "${1#--config=}"\n')
    (folder / name).chmod(0o755)


def test_mongodump_gets_its_password_by_a_configuration_file(tmp_path: Path) -> None:
    _program(tmp_path, "mongodump")
    text = StreamText(name="m", mongodb="shop", host="db", port=27018, login="me", options=["--gzip"])
    order = StreamOrder(text=text, secret=b'a"b\\c')
    command = dump_command(order, str(tmp_path), f"{tmp_path}:/usr/bin:/bin")
    fds = [secret.fd for secret in command.secrets]
    said = subprocess.run(command.words, capture_output=True, text=True, check=True, pass_fds=fds, env={"PATH": "/bin"})
    command.close()
    words, _, file = said.stdout.partition("\n")
    assert words.split()[1:] == ["--archive", "--port=27018", "--host=db", "--username=me", "--gzip", "--db=shop"]
    assert file == 'password: "a\\"b\\\\c"\n'


def test_what_is_not_installed_says_which_package_has_it(tmp_path: Path) -> None:
    order = StreamOrder(text=StreamText(name="m", mongodb="shop"))
    with pytest.raises(StreamError) as caught:
        dump_command(order, str(tmp_path), str(tmp_path))
    assert "mongodump is not installed" in caught.value.message
    assert "mongodb-database-tools" in (caught.value.hint or "")


@pytest.mark.root
def test_a_number_without_an_account_runs_commands_as_well() -> None:
    """Containers give such numbers."""
    program = "import os; from backupd.model.streams import StreamOrder, StreamText; "
    program += "from backupd.operations.streams.commands import dump_command; "
    program += "os.setuid(54321); "
    program += "made = dump_command(StreamOrder(text=StreamText(name='m', run=['true'])), '/tmp', ''); "
    program += "print(made.environment['USER'], made.environment['HOME'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "54321 /\n", done.stderr


def test_a_secret_is_readable_by_its_user_alone_and_leaves_nothing() -> None:
    secret = SecretFile(b"x", os.geteuid())
    try:
        found = os.fstat(secret.fd)
        assert (found.st_mode & 0o777, found.st_uid) == (0o600, os.geteuid())
        assert Path(secret.path).read_bytes() == Path(secret.path).read_bytes() == b"x"
    finally:
        secret.close()
