"""To whom rclone may send a login: servers that prove who they are, through nets that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backupd.destination.contract import Opening, Store
from backupd.destination.rclone.remote import Remote, checked
from backupd.destination.stores import open_once
from backupd.errors import BackupError, UsageError
from backupd.model.store_access import StoreAccess
from backupd.store_errors import HostKeyChangedError, HostKeyUnknownError, PlaintextError
from tests.support.servers.http_server import program
from tests.support.servers.sshd import Sshd, make_key


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """It shows an ECDSA key, too, which no file of known hosts here holds."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of a user who knows no host."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "place").mkdir()
    return tmp_path


def _open(sshd: Sshd, home: Path, lines: str = "", remote: str = "far", known_hosts: str | None = None) -> Store:
    conf = (
        f"[far]\ntype = sftp\nhost = 127.0.0.1\nport = {sshd.port}\nuser = {sshd.user}\nkey_file = {sshd.login_key}\n"
        f"{lines}\n[behind]\ntype = combine\nupstreams = below=far:{home}\n"
    )
    access = StoreAccess(credentials=conf.encode(), known_hosts=known_hosts)
    folder = "below/place" if remote == "behind" else f"{home}/place"
    place = f"rclone:{remote}:{folder}"
    return open_once(Opening(place, "t", access, create=True))


def test_a_server_that_nobody_vouches_for_gets_no_login(sshd: Sshd, home: Path) -> None:
    """Else who stands between gets the password and all backups: rclone checks no host key by itself."""
    for remote in ("far", "behind"):
        with pytest.raises(HostKeyUnknownError) as caught:
            _open(sshd, home, remote=remote)
        assert "known_hosts" in caught.value.hint
    with pytest.raises(UsageError):
        _open(sshd, home, known_hosts=str(home / "none"))


def test_a_server_with_another_key_gets_no_login(sshd: Sshd, home: Path) -> None:
    """Else the known key is only for show."""
    other = f"[127.0.0.1]:{sshd.port} {make_key(home / 'other')}\n"
    (home / ".ssh/known_hosts").write_text(other)
    with pytest.raises(HostKeyChangedError):
        _open(sshd, home)


@pytest.mark.parametrize("way", ["home", "access", "remote", "behind"])
def test_a_known_server_is_taken(sshd: Sshd, home: Path, way: str) -> None:
    """Else the check shuts out those whom it should protect."""
    file = home / (".ssh/known_hosts" if way == "home" else 'my [1 "known" hosts')
    file.write_text(sshd.known_hosts)
    lines = f"known_hosts_file = {file}\nhost_key_algorithms = ssh-ed25519\n" if way in ("remote", "behind") else ""
    store = _open(sshd, home, lines, "behind" if way == "behind" else "far", str(file) if way == "access" else None)
    store.put("r1/keys/k", [b"whole"])
    assert store.get("r1/keys/k", 1, 3) == b"hol"
    assert [info.name for info in store.list("")] == ["r1/keys/k"]
    store.close()


REMOTES: dict[str, dict[str, str]] = {
    "plain": {"type": "ftp", "host": "h"},
    "tls": {"type": "ftp", "host": "h", "tls": "true"},
    "blind": {"type": "ftp", "host": "h", "tls": "true", "no_check_certificate": "true"},
    "overriding": {"type": "s3", "endpoint": "https://h", "override.no_check_certificate": "true"},
    "union": {"type": "union", "upstreams": '/tmp "plain:with space:ro"'},
    "combine": {"type": "combine", "upstreams": "a=tls:x b=plain:x"},
    "crypt": {"type": "crypt", "remote": "combine:x"},
    "ring": {"type": "alias", "remote": "ring2:"},
    "ring2": {"type": "alias", "remote": "ring:"},
    "nameless": {"type": "alias", "remote": ":ftp,host='a:b':x"},
    "changed": {"type": "alias", "remote": "tls,tls=false:x"},
    "odd": {"type": "alias", "remote": "tls,=x,:x"},
    "ssh": {"type": "sftp", "host": "h"},
    "own ssh": {"type": "sftp", "host": "h", "ssh": "ssh h"},
    "chunker": {"type": "chunker", "remote": "ssh:x"},
    "good": {"type": "union", "upstreams": "tls:x /tmp"},
}


def _checked(name: str, access: StoreAccess) -> str:
    return checked(Remote(name, "b/p"), lambda asked: REMOTES[asked], "shown", access)


@pytest.mark.parametrize("name", ["plain", "blind", "overriding", "union", "combine", "crypt", "nameless", "changed"])
def test_a_net_that_anybody_reads_must_be_allowed(name: str) -> None:
    """Else the login crosses it in the clear, because the plain remote stands below another one."""
    with pytest.raises(PlaintextError):
        _checked(name, StoreAccess())
    _checked(name, StoreAccess(allow_plaintext=True))


@pytest.mark.parametrize("name", ["tls", "good", "ring", "own ssh"])
def test_other_remotes_are_taken(name: str) -> None:
    """Else safe ones need --allow-plaintext, which then allows all."""
    assert _checked(name, StoreAccess()) == f"{name}:"


@pytest.mark.parametrize(("name", "kind"), [("chunker", HostKeyUnknownError), ("odd", UsageError)])
def test_what_can_not_be_told_safe_is_refused(name: str, kind: type[BackupError]) -> None:
    """Else a way of writing it goes around the check."""
    with pytest.raises(kind):
        _checked(name, StoreAccess(allow_plaintext=True))


def test_variables_of_a_remote_count(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else rclone takes another server than the one that was looked at."""
    monkeypatch.setenv("RCLONE_CONFIG_FAR_TLS", "false")
    access = StoreAccess(credentials=b"[far]\ntype = ftp\nhost = 127.0.0.1\nport = 1\ntls = true\n")
    with pytest.raises(PlaintextError):
        open_once(Opening("rclone:far:x", "t", access, create=True))
