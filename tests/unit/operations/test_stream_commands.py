"""Commands of presets whose servers the tests do not have, and secrets in files without names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


def test_a_program_that_others_could_change_is_not_run(tmp_path: Path) -> None:
    """A daemon of root would run what they put there, each night."""
    _program(tmp_path, "mongodump")
    order = StreamOrder(text=StreamText(name="m", mongodb="shop"))
    assert dump_command(order, "/tmp", str(tmp_path)).program == "mongodump"  # noqa: S108
    (tmp_path / "mongodump").chmod(0o777)
    for one in (order, StreamOrder(text=StreamText(name="m", run=[str(tmp_path / "mongodump")]))):
        with pytest.raises(StreamError, match="others than its owner may write"):
            dump_command(one, "/tmp", str(tmp_path))  # noqa: S108


def test_what_it_is_told_is_not_written_over(tmp_path: Path) -> None:
    text = StreamText(name="m", run=["/bin/true"], environment={"BACKUPD_STREAM": "other", "PATH": "/mine"})
    environment = dump_command(StreamOrder(text=text), str(tmp_path), "").environment
    assert (environment["BACKUPD_STREAM"], environment["PATH"]) == ("m", "/mine")


_FEEDS = r"""
import os, subprocess, sys
from backupd.operations.programs.keeper import Keeper
read_fd, write_fd = os.pipe()
keeper = Keeper(None, write_fd)
print(keeper.group, flush=True)
loop = 'while read -r word; do echo "$word"; done; : > "$1"'
client = subprocess.Popen(["/bin/sh", "-c", loop, "sh", sys.argv[1]], stdin=read_fd, process_group=keeper.group)
os.close(read_fd)
os.write(write_fd, b"half\n")
if sys.argv[2] == "all":
    keeper.let_go()
    os.close(write_fd)
    client.wait()
    keeper.dismiss()
sys.stdin.read()
"""


@pytest.mark.parametrize("given", ["half", "all"])
def test_who_is_fed_sees_no_end_when_the_job_is_killed(tmp_path: Path, given: str) -> None:
    """A client of a database takes the end of what it reads for the end of the dump."""
    ended = tmp_path / "ended"
    words = [sys.executable, "-c", _FEEDS, str(ended), given]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        keeper = int(job.stdout.readline())
        assert job.stdout.readline() == b"half\n"
        if given == "half":
            # It comes late.
            os.kill(keeper, signal.SIGSTOP)
            job.kill()
            time.sleep(0.3)
            os.kill(keeper, signal.SIGCONT)
        # The client has it open, too.
        job.communicate(timeout=20)
    assert ended.exists() == (given == "all")


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
