"""What forbids a purge: whatever lies in the directories and is nowhere else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from backupd.errors import AccessError, BackupError, ConflictError
from backupd.settings.keys import KeptKey, render
from bkctl.daemon_client import DaemonClient
from bkctl.service import purging
from bkctl.service.mount_points import mount_points_in
from bkctl.service.purging import Known
from bkctl.service.scope import Scope
from bkctl.session import Environment
from tests.support.daemon import running_daemon
from tests.support.mounting import unmount
from tests.support.ordinary_user import directory_of_user, run_as_user


def scope_at(home: Path) -> Scope:
    """A user's, with all four directories below one."""
    folders = {"CONFIG": "conf", "DATA": "data", "STATE": "state", "CACHE": "cache"}
    for folder in folders.values():
        (home / folder / "backupd").mkdir(parents=True)
    xdg = {f"XDG_{name}_HOME": str(home / folder) for name, folder in folders.items()}
    return Scope(False, Environment(xdg=xdg))


@pytest.mark.parametrize("name", ["repository.json", "repository.json.2", "once.json"])
def test_a_repository_that_nobody_lists_is_kept(tmp_path: Path, name: str) -> None:
    """A destination that was removed is a backup all the same."""
    scope = scope_at(tmp_path)
    purging.refuse_loss(scope, Known())
    lost = tmp_path / "state" / "backupd" / "old" / "r1"
    lost.mkdir(parents=True)
    (lost / name).write_text("{}")
    with pytest.raises(ConflictError, match=f"a repository lies in {lost}") as refused:
        purging.refuse_loss(scope, Known())
    assert "move it away" in refused.value.hint


def test_what_cannot_be_listed_is_not_taken_for_empty() -> None:
    """A directory that is closed to who purges may hold anything; rmtree opens what it owns."""
    with directory_of_user() as home:
        home.chmod(0o777)

        def refused() -> str:
            scope = scope_at(home)
            closed = home / "data" / "backupd" / "closed"
            closed.mkdir(mode=0)
            try:
                purging.refuse_loss(scope, Known())
            except AccessError as error:
                return error.message
            finally:
                closed.chmod(0o700)
            return "nothing"

        assert run_as_user(refused) == f"can't list {home}/data/backupd/closed: Permission denied"


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
def test_a_bind_mount_of_the_same_file_system_is_seen(tmp_path: Path) -> None:
    """Its device is that of what lies around it, and a removal would empty what it shows: a home, say."""
    scope = scope_at(tmp_path)
    shown, point = tmp_path / "shown", tmp_path / "state" / "backupd" / "my disk"
    shown.mkdir()
    point.mkdir()
    subprocess.run(["mount", "--bind", shown, point], check=True)
    try:
        with pytest.raises(ConflictError, match=f"something is mounted on {point}"):
            purging.refuse_loss(scope, Known())
    finally:
        unmount(point)
    purging.refuse_loss(scope, Known())


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
def test_a_directory_that_can_not_go_is_refused_before_anything_does(tmp_path: Path) -> None:
    """A mount point would be emptied and stay; a link would end the removal half way, the service gone."""
    scope = scope_at(tmp_path)
    state = tmp_path / "state" / "backupd"
    subprocess.run(["mount", "-t", "tmpfs", "none", state], check=True)
    try:
        with pytest.raises(ConflictError, match=f"something is mounted on {state}"):
            purging.refuse_loss(scope, Known())
    finally:
        unmount(state)
    state.rename(tmp_path / "disk")
    state.symlink_to(tmp_path / "disk")
    with pytest.raises(ConflictError, match=f"{state} is a link to {tmp_path}/disk"):
        purging.refuse_loss(scope, Known())
    assert (tmp_path / "disk").is_dir()


def test_homes_that_are_one_are_removed_once(tmp_path: Path) -> None:
    """Who keeps all in one directory has nothing left for the second round; nor has who has one in another."""
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "one" / "backupd" / "state" / "backupd").mkdir(parents=True)
    homes = ("one", "one/", "link", "one/backupd/state")
    names = ("CONFIG", "DATA", "CACHE", "STATE")
    xdg = {f"XDG_{name}_HOME": f"{tmp_path}/{home}" for name, home in zip(names, homes, strict=True)}
    scope = Scope(False, Environment(xdg=xdg))
    purging.refuse_loss(scope, Known())
    assert purging.purge(scope) == [str(tmp_path / "one" / "backupd")]
    assert not (tmp_path / "one" / "backupd").exists()


def test_a_table_of_mounts_that_is_none_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    """What is not understood forbids a removal."""
    table = tmp_path / "mountinfo"
    table.write_bytes(b"22 27 8:1 / /a/b\\040c rw - ext4 /dev/sda1 rw\n23 27 8:1 / /a/d\re rw - ext4 /dev/sda1 rw\n")
    assert mount_points_in("/a", str(table)) == ["/a/b c", "/a/d\re"]
    assert mount_points_in("/a/b c", str(table)) == ["/a/b c"]
    for line in ("nonsense\n", "22 27 8:1 / none rw - ext4 x rw\n"):
        table.write_text(line)
        with pytest.raises(BackupError, match="a line that is none"):
            mount_points_in("/a", str(table))
    assert mount_points_in("/a", str(tmp_path / "gone")) == []


def test_a_password_of_a_set_is_kept(tmp_path: Path) -> None:
    """Nobody proves a password: the file may be all that there is of it, under any name of it."""
    scope = scope_at(tmp_path)
    file, link = tmp_path / "conf" / "backupd" / "secret", tmp_path / "link"
    file.write_text("correct horse")
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(ConflictError, match=f"the password of home lies in {path}"):
            purging.refuse_loss(scope, Known(password_files=[("home", str(path))]))
    file.rename(tmp_path / "elsewhere")
    purging.refuse_loss(scope, Known(password_files=[("home", str(file)), ("etc", str(tmp_path / "elsewhere"))]))


def test_a_secret_that_systemd_gives_to_the_service_is_kept(tmp_path: Path) -> None:
    """A set names it, and only the unit tells in which file it is."""
    scope = scope_at(tmp_path)
    file = tmp_path / "conf" / "backupd" / "my secret"
    file.write_text("correct horse")
    own = tmp_path / "conf" / "systemd" / "user" / "backupd.service.d" / "override.conf"
    own.parent.mkdir(parents=True)
    own.write_text(f"[Service]\nLoadCredential=mail\nLoadCredentialEncrypted = vault:{file}\nLoadCredential=x:/etc/x\n")
    with pytest.raises(ConflictError, match=f"the service's credential vault lies in {file}"):
        purging.refuse_loss(scope, Known())
    file.rename(tmp_path / "elsewhere")
    purging.refuse_loss(scope, Known())


@pytest.mark.parametrize("path", ["%E/backupd/secret", "%E/%p/secret", "%h/../conf/backupd/secret", "%S/backupd/s"])
def test_a_secret_of_a_path_with_specifiers_is_kept(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what systemd's own examples are written with."""
    monkeypatch.setenv("HOME", str(tmp_path / "data"))
    scope = scope_at(tmp_path)
    (tmp_path / "conf" / "backupd" / "secret").write_text("correct horse")
    (tmp_path / "state" / "backupd" / "s").write_text("correct horse")
    _write_unit(tmp_path, f"LoadCredential=vault:{path}")
    with pytest.raises(ConflictError, match=f"credential vault lies in {tmp_path}/.*/backupd/s"):
        purging.refuse_loss(scope, Known())


def test_a_secret_whose_path_only_systemd_knows_forbids_a_purge(tmp_path: Path) -> None:
    """It may lie there; a per cent sign is one."""
    scope = scope_at(tmp_path)
    _write_unit(tmp_path, "LoadCredential=vault:/%%E/%b/secret")
    with pytest.raises(ConflictError, match="only systemd knows where %b is") as refused:
        purging.refuse_loss(scope, Known())
    assert "systemctl edit backupd" in (refused.value.hint or "")
    _write_unit(tmp_path, "LoadCredential=vault:/%%E/secret")
    purging.refuse_loss(scope, Known())


def _write_unit(home: Path, line: str) -> None:
    unit = home / "conf" / "systemd" / "user" / "backupd.service"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(f"[Service]\n{line}\n")


def test_a_file_that_a_command_reads_the_password_from_is_kept(tmp_path: Path) -> None:
    """The daemon tells the command; what it reads may be the only copy."""
    with running_daemon(tmp_path / "d") as daemon:
        commands = {
            "word": ["cat", f"{daemon.config}/pass word"],
            "shell": ["sh", "-c", f"cat '{daemon.config}/password' | tr -d x"],
            "option": ["tool", f"--file={daemon.config}/password"],
        }
        text = {"sources": ["/etc"], "to": ["usb"], "encryption": "password"}
        sets = [{**text, "name": name, "password": {"command": command}} for name, command in commands.items()]
        document = {"destinations": [{"name": "usb", "place": "/usb"}], "sets": sets}
        daemon.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())
        found = purging.known_to(DaemonClient(str(daemon.socket), "")).password_files
        assert ("word", f"{daemon.config}/pass word") in found
        assert {("shell", f"{daemon.config}/password"), ("option", f"{daemon.config}/password")} <= set(found)


@pytest.mark.parametrize("folder", ["conf", "data", "state", "cache"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_a_key_file_is_kept_wherever_it_lies(tmp_path: Path, folder: str, begin: str) -> None:
    """`--key-out` wrote it there; that a key was proved is said of the file in the key directory alone."""
    scope = scope_at(tmp_path)
    key = begin + render(KeptKey(repository_id="r1", secret="k" * 44, proved=True))
    kept = tmp_path / "data" / "backupd" / "keys" / "r1.key"
    kept.parent.mkdir()
    kept.write_text(key)
    purging.refuse_loss(scope, Known())
    out = tmp_path / folder / "backupd" / "sub" / "saved"
    out.parent.mkdir()
    out.write_text(key)
    with pytest.raises(ConflictError, match=f"{out} holds a key"):
        purging.refuse_loss(scope, Known())
