"""As a CI job: `once` from an empty home to a real server, login by file; back from another empty home with the key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import running_daemon
from tests.support.machine import Machine
from tests.support.servers import seaweedfs
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.sshd import fingerprint, sshd
from tests.support.servers.webdav_server import PASSWORD, USER

Words = tuple[str | Path, ...]
Server = Callable[[Path, ExitStack], tuple[str, Words]]
"""Starts a server; gives a place there and the words that open it."""


def _s3(folder: Path, stack: ExitStack) -> tuple[str, Words]:
    weed = stack.enter_context(seaweedfs.seaweedfs(folder))
    login = folder / "login"
    login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
    place = f"s3://{seaweedfs.BUCKET}/ci/job?endpoint={weed.endpoint}"
    return place, ("--credentials-file", login, "--allow-plaintext")


def _sftp(folder: Path, stack: ExitStack) -> tuple[str, Words]:
    server = stack.enter_context(sshd(folder))
    place = f"sftp://{server.user}@127.0.0.1:{server.port}{folder}/backups"
    return place, ("--credentials-file", server.login_key, "--host-key", fingerprint(server.host_key))


def _rclone(folder: Path, stack: ExitStack) -> tuple[str, Words]:
    configuration = folder / "rclone.conf"
    (folder / "kept").mkdir()
    configuration.write_text(f"[disk]\ntype = alias\nremote = {folder}/kept\n")
    return "rclone:disk:backups", ("--credentials-file", configuration)


def _webdav(folder: Path, stack: ExitStack) -> tuple[str, Words]:
    server = RcloneWebdav(folder)
    stack.callback(server.kill)
    login = folder / "login"
    login.write_text(f"user = {USER}\npassword = {PASSWORD}\n")
    return server.place(), ("--credentials-file", login, "--ca-file", server.authority.file)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some files, in all over one block's first segment."""
    found = tmp_path / "source"
    (found / "folder").mkdir(parents=True)
    for number in range(20):
        (found / "folder" / f"file{number}").write_bytes(os.urandom(9_000 * number**2))
    return found


@pytest.fixture
def stack() -> Generator[ExitStack, None, None]:
    """What ends the servers."""
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize(
    "server", [_s3, *(pytest.param(server, marks=pytest.mark.nightly) for server in (_sftp, _rclone, _webdav))]
)
def test_there_and_back_with_the_key_alone(server: Server, stack: ExitStack, source: Path, tmp_path: Path) -> None:
    """The machine of a CI job is gone when it ends: what it had is the store, the login and the key."""
    (tmp_path / "server").mkdir()
    place, words = server(tmp_path / "server", stack)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    first, second = Machine(tmp_path / "first", path), Machine(tmp_path / "second", path)
    key = tmp_path / "key"
    made = first.json("once", source, "--to", place, *words, "--name", "docs", "--key-out", key)
    assert made["exit"] == 0, made
    (source / "folder" / "new").write_bytes(os.urandom(100_000))
    again = first.json("once", source, "--to", place, *words, "--name", "docs")
    assert again["exit"] == 0, again
    with_key = ("--from", place, *words, "--password-file", key)
    restored = second.json("restore", "docs", *with_key, "--to", tmp_path / "out")
    assert restored["exit"] == 0, restored
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
    checked = second.json("check", "--crc", *with_key)
    assert checked["exit"] == 0, checked
    tested = second.json("destination", "test", place, *words)
    assert (tested["exit"], tested["result"]["usable"]) == (0, True), tested
    # Where two may create one name, another host's writers are given two days.
    wanted = 23 if server in (_webdav, _rclone) else 0
    purged = second.json("purge", "docs", "--path", source / "folder" / "new", *with_key, "--confirm", "docs")
    assert purged["exit"] == wanted, purged
    listed = second.json("snapshot", "list", *with_key)["result"]["snapshots"]
    assert [one["files"] for one in listed] == [20, 20]
    gone = second.json("purge", "--all", *with_key, "--confirm", place)
    assert gone["exit"] == wanted, gone
    assert second.json("snapshot", "list", *with_key)["exit"] == (0 if wanted else 10)


def test_a_destination_at_a_server_is_kept_by_the_daemon(stack: ExitStack, source: Path, tmp_path: Path) -> None:
    """Its login is read from its file at each run, shown nowhere, and a wrong one makes no destination."""
    (tmp_path / "server").mkdir()
    place, words = _s3(tmp_path / "server", stack)
    with running_daemon(tmp_path / "home") as daemon:
        refused = daemon.json("destination", "add", "off-site", place, "--allow-plaintext")
        assert (refused["exit"], refused["error"]["code"]) == (15, "destination.login"), refused
        assert "--no-test" in refused["error"]["hint"]
        assert daemon.good("destination", "list")["destinations"] == []
        shown = daemon.good("destination", "add", "off-site", place, *words)["destination"]
        assert shown["credentials"].startswith("file /")
        daemon.good("set", "create", "docs", "--source", source, "--to", "off-site")
        daemon.good("backup", "docs")
        daemon.good("restore", "docs", "--to", tmp_path / "out")
        assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
        assert len(daemon.good("snapshot", "list", "docs")["snapshots"]) == 1
        assert daemon.json("check", "docs")["exit"] == 0
        said = daemon.said() + str(daemon.json("job", "log", "latest")) + str(daemon.good("config", "export"))
        assert seaweedfs.OWNER[1] not in said


def test_each_way_to_give_a_login_and_a_key(stack: ExitStack, tmp_path: Path) -> None:
    """Scripts, units and pipelines each have their own way to keep a secret; all of them must do."""
    (tmp_path / "server").mkdir()
    server = stack.enter_context(sshd(tmp_path / "server"))
    place = f"sftp://{server.user}@127.0.0.1:{server.port}{tmp_path}/server/backups"
    known = tmp_path / "known"
    known.write_text(server.known_hosts)
    machine = Machine(tmp_path / "home")
    words = ("destination", "test", place, "--quick", "--known-hosts", known)
    key = server.login_key.read_bytes()
    given = machine.json(*words, "--credentials-command", f"cat {server.login_key}", "--retry-for", "10s")
    assert given["exit"] == 0, given
    assert machine.json(*words, "--credentials-fd", "0", stdin=key)["exit"] == 0
    by_variable = machine.bkctl(*words, variables={"BKCTL_CREDENTIALS_FILE": str(server.login_key)})
    assert by_variable.returncode == 0, by_variable.stderr
    twice = machine.json(*words, "--credentials-fd", "0", "--credentials-file", server.login_key, stdin=key)
    assert (twice["exit"], twice["error"]["code"]) == (2, "usage.invalid")
    absent = machine.json(*words, "--credentials-file", tmp_path / "absent")
    assert (absent["exit"], absent["error"]["code"]) == (12, "key.missing")
    with running_daemon(tmp_path / "daemon") as daemon:
        add = ("destination", "add", "box", place, "--known-hosts", known)
        refused = daemon.json(*add, "--credentials-command", "false")
        assert refused["exit"] == 12, refused
        torn = daemon.json(*add, "--credentials-command", "cat 'unfinished")
        assert (torn["exit"], torn["error"]["code"]) == (2, "usage.invalid"), torn
        assert daemon.good("destination", "list")["destinations"] == []
        daemon.good(*add, "--credentials-command", f"cat {server.login_key}")
        daemon.good("destination", "test", "box", "--quick")
        accepted = fingerprint(server.host_key)
        shown = daemon.good(
            "destination", "edit", "box", "--host-key", accepted, "--known-hosts", "", "--credentials-env", "LOGIN",
            "--retry-for", "1m", "--ca-file", known, "--allow-plaintext",
        )["destination"]  # fmt: skip
        assert (shown["host_key"], shown["known_hosts"], shown["retry_for"]) == (accepted, None, "1m")
        assert (shown["credentials"], shown["allow_plaintext"]) == ("variable LOGIN", True)
        failed = daemon.json("destination", "test", "box", "--quick")
        assert failed["exit"] == 12, failed
        shown = daemon.good(
            "destination", "edit", "box", "--no-plaintext", "--credentials-file", server.login_key, "--ca-file", ""
        )["destination"]
        assert (shown["allow_plaintext"], shown["ca_file"]) == (False, None)
        daemon.good("destination", "test", "box", "--quick")
        daemon.good("destination", "add", "later", "sftp://nobody.invalid/x", "--no-test", "--host-key", accepted)


def test_a_random_key_is_not_left_on_a_machine_that_goes_away(stack: ExitStack, source: Path, tmp_path: Path) -> None:
    """Else each CI job makes a backup that nobody can ever read."""
    (tmp_path / "server").mkdir()
    place, words = _sftp(tmp_path / "server", stack)
    daemonless = Machine(tmp_path / "home")
    done = daemonless.bkctl("once", source, "--to", place, *words, "--json", variables={"CI": "true"})
    assert done.returncode == 22, done.stdout
    assert b"--key-out" in done.stdout
