"""Who is let in at an SFTP store, and which server is believed; against real servers."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import BackupError, DestinationRefusedError, DestinationUnreachableError, UsageError
from backupd.model.store_access import StoreAccess
from backupd.store_errors import HostKeyChangedError, HostKeyUnknownError, StoreLoginError
from tests.support.servers.rclone_sftp import PASSWORD, RcloneSftp, rclone_sftp
from tests.support.servers.sshd import Sshd, fingerprint, make_key, sshd
from tests.support.sftp_places import QUICK, open_sftp_at, open_sftp_at_other, right_access

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneSftp, None, None]:
    with rclone_sftp(tmp_path_factory.mktemp("rclone")) as started:
        yield started


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and no agent."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "home"


def check_opens(server: Sshd, path: Path, access: StoreAccess, user: str = "") -> None:
    place = open_sftp_at(server, path, access=access, user=user)
    assert place.top_names() == []
    place.close()


def test_an_unknown_server_gets_no_login(server: Sshd, tmp_path: Path) -> None:
    """Else whoever sits between gets the password at the first run."""
    before = len(server.log())
    access = StoreAccess(credentials=b"user = x\npassword = not-to-be-sent\n")
    with pytest.raises(HostKeyUnknownError) as caught:
        open_sftp_at(server, tmp_path, access=access)
    shown = fingerprint(server.host_key)
    assert caught.value.context == {"fingerprint": shown, "key_type": "ssh-ed25519"}
    assert f"--host-key {shown}" in caught.value.hint
    assert caught.value.exit_code == 22
    assert "publickey" not in server.log()[before:]
    assert "password" not in server.log()[before:]
    assert not (tmp_path / "home/.ssh/known_hosts").exists()


@pytest.mark.parametrize("kind", ["plain", "hashed", "own", "with others"])
def test_a_server_in_known_hosts(server: Sshd, tmp_path: Path, home: Path, kind: str) -> None:
    """As ssh and ssh-keyscan write them."""
    path = home / ".ssh/known_hosts" if kind == "own" else tmp_path / "known"
    others = "# words\n@cert-authority * ssh-ed25519 AAAA\nhost.example ssh-rsa AAAAB3NzaC1yc2E\nnonsense\n"
    path.write_text(others + server.known_hosts if kind == "with others" else server.known_hosts)
    if kind == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
        assert path.read_text().startswith("|1|")
    known = None if kind == "own" else str(path)
    check_opens(server, tmp_path / "place", StoreAccess(credentials=server.login_key.read_bytes(), known_hosts=known))


def test_any_of_a_server_s_keys_may_be_the_one_that_is_known(server: Sshd, tmp_path: Path) -> None:
    """Else who noted the fingerprint of another kind of key is told of an attack."""
    shown = fingerprint(server.folder / "host_ecdsa")
    check_opens(server, tmp_path / "place", StoreAccess(credentials=server.login_key.read_bytes(), host_key=shown))
    line = f"[127.0.0.1]:{server.port} {(server.folder / 'host_ecdsa.pub').read_text()}"
    (tmp_path / "known").write_text(line)
    access = StoreAccess(credentials=server.login_key.read_bytes(), known_hosts=str(tmp_path / "known"))
    check_opens(server, tmp_path / "place", access)


@pytest.mark.parametrize("kind", ["fingerprint", "known_hosts", "revoked"])
def test_another_server_than_the_known_one_gets_no_login(server: Sshd, tmp_path: Path, kind: str) -> None:
    make_key(tmp_path / "other")
    expected = fingerprint(tmp_path / "other")
    line = f"[127.0.0.1]:{server.port} {(tmp_path / 'other.pub').read_text()}"
    if kind == "revoked":
        line, expected = f"{server.known_hosts}@revoked {server.known_hosts}", "revoked"
    (tmp_path / "known").write_text(line)
    access = StoreAccess(
        credentials=server.login_key.read_bytes(),
        host_key=expected if kind == "fingerprint" else None,
        known_hosts=str(tmp_path / "known"),
    )
    before = len(server.log())
    with pytest.raises(HostKeyChangedError) as caught:
        open_sftp_at(server, tmp_path, access=access)
    assert expected in caught.value.message
    assert fingerprint(server.host_key) in caught.value.message
    assert "--host-key" in caught.value.hint or kind == "revoked"
    assert not caught.value.retryable
    assert "publickey" not in server.log()[before:]


def test_another_key_is_told_by_a_server_that_has_one_alone(tmp_path: Path) -> None:
    """Told as too old a server, somebody in between would go unnoticed, and the warning be tried again."""
    make_key(tmp_path / "other")
    with sshd(tmp_path, has_one_key=True) as server:
        access = StoreAccess(
            credentials=server.login_key.read_bytes(), host_key=fingerprint(tmp_path / "other")
        )
        with pytest.raises(HostKeyChangedError, match="instead of"):
            open_sftp_at(server, tmp_path, access=access)


@pytest.mark.parametrize("text", ["MD5:00:11", "SHA256:short", "SHA256:" + "!" * 43, ""])
def test_what_is_no_fingerprint(server: Sshd, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no fingerprint"):
        open_sftp_at(server, tmp_path, access=StoreAccess(host_key=text))


def test_a_known_hosts_file_that_is_not_there(server: Sshd, tmp_path: Path) -> None:
    """Naming it wrongly must not mean that the user's own counts."""
    with pytest.raises(UsageError, match="No such file"):
        open_sftp_at(server, tmp_path, access=StoreAccess(known_hosts=str(tmp_path / "none")))


@pytest.mark.parametrize("kind", ["key_file", "rsa in home", "locked", "agent", "user in the credentials"])
def test_logins(server: Sshd, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """By each way that the documentation names."""
    shown = fingerprint(server.host_key)
    place = tmp_path / "place"
    if kind == "key_file":
        shutil.copy(server.login_key, home / "my-key")
        check_opens(server, place, StoreAccess(credentials=b"key_file = ~/my-key", host_key=shown))
    elif kind == "user in the credentials":
        words = f"user = {server.user}\nkey_file = {server.login_key}".encode()
        check_opens(server, place, StoreAccess(credentials=words, host_key=shown), user="")
    elif kind == "rsa in home":
        public = make_key(home / ".ssh/id_rsa", "rsa")
        with (server.folder / "authorized_keys").open("a") as file:
            file.write(public + "\n")
        check_opens(server, place, StoreAccess(host_key=shown))
    elif kind == "locked":
        shutil.copy(server.login_key, tmp_path / "locked")
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret words", "-f", tmp_path / "locked"], check=True)
        right = f"key_file = {tmp_path}/locked\npassphrase = secret words\n".encode()
        check_opens(server, place, StoreAccess(credentials=right, host_key=shown))
    else:
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
            adding = ["ssh-add", "-q", str(server.login_key)]
            while subprocess.run(adding, check=False, capture_output=True).returncode:
                assert agent.poll() is None
            check_opens(server, place, StoreAccess(host_key=shown))
        finally:
            agent.kill()
            agent.wait()


WRONG_LOGINS = {
    "nothing": (None, "nothing to log in with"),
    "wrong key": ("wrong", "does not let"),
    "no key": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LXdvcmRz\n-----END OPENSSH PRIVATE KEY-----",
        "understood",
    ),
    "locked key": ("locked", "passphrase"),
    "wrong passphrase": ("misfit", "not understood"),
    "password where keys alone are taken": ("secret-words", "takes no password"),
    "no file": ("key_file = /nonexistent/key", "No such file"),
}


@pytest.mark.parametrize("kind", WRONG_LOGINS)
def test_wrong_logins(server: Sshd, tmp_path: Path, kind: str) -> None:
    """Each is told by its own words, and none tells a secret."""
    text, words = WRONG_LOGINS[kind]
    if text == "wrong":
        make_key(tmp_path / "wrong")
        text = (tmp_path / "wrong").read_text()
    elif text in ("locked", "misfit"):
        make_key(tmp_path / "locked", passphrase="secret-words")
        line = "" if text == "locked" else "\npassphrase = other secret-words"
        text = f"key_file = {tmp_path}/locked{line}"
    access = StoreAccess(credentials=None if text is None else text.encode(), host_key=fingerprint(server.host_key))
    with pytest.raises(StoreLoginError, match=words) as caught:
        open_sftp_at(server, tmp_path / "place", access=access)
    assert caught.value.hint
    assert not caught.value.retryable
    check_holds_no_secret(caught.value)


def test_a_password(other_server: RcloneSftp) -> None:
    place = open_sftp_at_other(other_server, "/one", credentials=f"password: {PASSWORD}\n")
    place.put("once.json", [b"{}"])
    place.close()
    with pytest.raises(StoreLoginError, match="does not let") as caught:
        open_sftp_at_other(other_server, "/one", credentials="secret-words")
    assert "--credentials-file" in caught.value.hint
    check_holds_no_secret(caught.value)
    check_holds_no_secret(place.shown)


def check_holds_no_secret(found: BackupError | str) -> None:
    said = found if isinstance(found, str) else f"{found.message} {found.hint} {found.context} {found!r}"
    assert "secret-words" not in said
    assert "c2VjcmV0LXdvcmRz" not in said
    assert PASSWORD not in said


@pytest.mark.parametrize("kind", ["nobody", "no name", "not SSH", "silence", "closes"])
def test_servers_that_are_none(server: Sshd, tmp_path: Path, kind: str) -> None:
    """Each is unreachable, soon, with words on what to look at."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def answer() -> None:
        line, _ = listening.accept()
        with line:
            if kind == "not SSH":
                line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 200)
            while kind == "silence" and line.recv(4096):
                pass

    answering = threading.Thread(target=answer, daemon=True)
    if kind in ("nobody", "no name"):
        listening.close()
    else:
        answering.start()
    place = Sshd.__new__(Sshd)
    place.port, place.user = port, server.user
    user = "x@no-such-host.invalid:22/a?" if kind == "no name" else ""
    with pytest.raises((DestinationUnreachableError, UsageError)) as caught:
        open_sftp_at(place, tmp_path, access=right_access(server), user=user, limits=QUICK)
    assert caught.value.hint
    if kind not in ("nobody", "no name"):
        answering.join()
        listening.close()


@pytest.fixture
def jail() -> Generator[Path, None, None]:
    """A directory that sshd takes as a root directory: nobody but root may write above it."""
    path = Path(tempfile.mkdtemp(dir="/srv"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def documented(mark: str) -> list[str]:
    """The lines of sshd_config that the documentation gives to copy."""
    text = (TOP / "docs/stores/sftp.md").read_text()
    found = re.search(rf"<!-- {mark} -->\n```\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def account(jail: Path, *, append_only: bool) -> tuple[list[str], str]:
    """(sshd_config of the documentation for a user of this machine, that user)."""
    found = pwd.getpwuid(65534)
    (jail / "backup").mkdir(mode=0o700)
    os.chown(jail / "backup", found.pw_uid, found.pw_gid)
    (jail / "keys").mkdir()
    lines = documented("account")
    if append_only:
        (instead,) = documented("append-only")
        lines = [instead if line.strip().startswith("ForceCommand") else line for line in lines]
    words = {"Match User backup": f"Match User {found.pw_name}", "/srv/sftp/backup": str(jail)}
    words["/etc/ssh/keys/%u"] = f"{jail}/authorized_keys"
    for word, instead in words.items():
        lines = [line.replace(word, instead) for line in lines]
    return lines, found.pw_name


@pytest.mark.root
def test_the_documented_account_is_enough(jail: Path) -> None:
    """Else nobody can follow the documentation, or gives more rights than are needed."""
    lines, user = account(jail, append_only=False)
    with sshd(jail, lines) as server:
        place = open_sftp_at(server, "/~/anna", user=user)
        place.put("r1/keys/k", [b"1"])
        place.put("r1/sessions/s/1", [b"1"])
        place.delete("r1/sessions/s/1")
        assert (place.get("r1/keys/k"), place.traits.create_if_absent) == (b"1", True)
        place.close()
        assert place.may_leave_temporaries is False
        other = open_sftp_at(server, "/backup/anna", user=user)
        assert [info.name for info in other.list("")] == ["r1/keys/k"]
        other.close()
        with pytest.raises(DestinationRefusedError, match="permission denied"):
            open_sftp_at(server, "/elsewhere", user=user)
        command = ["ssh", "-p", str(server.port), "-i", str(server.login_key), "-o", "IdentitiesOnly=yes"]
        command += ["-o", f"UserKnownHostsFile={jail}/known", "-o", "BatchMode=yes", f"{user}@127.0.0.1", "id"]
        (jail / "known").write_text(server.known_hosts)
        shell = subprocess.run(command, check=False, capture_output=True, timeout=20)
        assert shell.returncode != 0
        assert b"uid=" not in shell.stdout


@pytest.mark.root
def test_the_documented_append_only_account(jail: Path) -> None:
    """It backs up and restores, deletes nothing, and orders no freeing."""
    lines, user = account(jail, append_only=True)
    with sshd(jail, lines) as server:
        place = open_sftp_at(server, "/backup/anna", user=user)
        place.put("r1/keys/k", [b"1"])
        (jail / "backup/anna/r1/gc").mkdir(mode=0o755)
        with pytest.raises(DestinationRefusedError) as caught:
            place.delete("r1/keys/k")
        assert "append-only" in caught.value.hint
        with pytest.raises(DestinationRefusedError):
            place.put("r1/gc/drop-1", [b"1"])
        place.put("r1/keys/l", [b"2"])
        assert sorted(info.name for info in place.list("r1/")) == ["r1/keys/k", "r1/keys/l"]
        assert place.traits.create_if_absent
        place.close()
        assert place.may_leave_temporaries is True
