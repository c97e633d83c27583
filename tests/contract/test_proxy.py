"""Stores behind proxies: reached through them alone, and each way in which a proxy can fail told by itself."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest

from backupd.destination.contract import Opening, Store
from backupd.destination.pacing import PaceTable
from backupd.destination.proxy import dial
from backupd.destination.stores import open_once, open_store
from backupd.errors import BackupError, UsageError
from backupd.model.store_access import PaceGrant, Proxy, StoreAccess
from backupd.store_errors import (
    CertificateError,
    ProxyLoginError,
    ProxyRefusedError,
    ProxyTargetError,
    ProxyUnreachableError,
)
from tests.support.servers import seaweedfs
from tests.support.servers.accepting import accepting
from tests.support.servers.certificates import Authority
from tests.support.servers.http_server import program
from tests.support.servers.process import free_port
from tests.support.servers.proxy import FORBIDDEN, PASSWORD, STORE, ProxyServer, login, proxy_server
from tests.support.servers.rclone_s3 import rclone_s3
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.sshd import Sshd, fingerprint, sshd
from tests.support.servers.webdav_server import PASSWORD as DAV_PASSWORD
from tests.support.servers.webdav_server import USER as DAV_USER

_KINDS = ("http", "socks5")
_SECONDS = 5.0


@pytest.fixture(scope="module", params=_KINDS)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[ProxyServer, None, None]:
    with proxy_server(request.param, tmp_path_factory.mktemp("proxy")) as started:
        yield started


@pytest.fixture(scope="module")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneWebdav, None, None]:
    folder = tmp_path_factory.mktemp("webdav")
    authority = Authority(folder)
    server = RcloneWebdav(folder, authority, authority.server("store", name=STORE))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


def _uses(store: Store, proxy: ProxyServer, port: int) -> int:
    """Write and read; how often the proxy was asked for the way: nobody else knows the host."""
    with closing(store):
        store.put("blocks/one", [b"bytes"])
        assert store.get("blocks/one") == b"bytes"
        assert [info.name for info in store.list("")] == ["blocks/one"]
    return proxy.asked_for(port)


def _webdav(webdav: RcloneWebdav, proxy: Proxy | None, folder: str = "place") -> Store:
    place = f"webdavs://{DAV_USER}@{STORE}:{webdav.port}/{folder}"
    access = StoreAccess(credentials=DAV_PASSWORD.encode(), ca_file=str(webdav.authority.file), proxy=proxy)
    return open_once(Opening(place, "t", access, create=True))


def test_webdav_goes_through(proxy: ProxyServer, webdav: RcloneWebdav) -> None:
    assert _uses(_webdav(webdav, proxy.proxy(), proxy.kind), proxy, webdav.port)


def test_sftp_goes_through(proxy: ProxyServer, ssh: Sshd, tmp_path: Path) -> None:
    """Its server speaks first: what it says right behind the proxy's answer must not be lost."""
    place = f"sftp://{ssh.user}@{STORE}:{ssh.port}{tmp_path}/place"
    access = StoreAccess(
        credentials=ssh.login_key.read_bytes(), host_key=fingerprint(ssh.host_key), proxy=proxy.proxy()
    )
    assert _uses(open_once(Opening(place, "t", access, create=True)), proxy, ssh.port)


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Generator[seaweedfs.SeaweedFs, None, None]:
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("sea")) as started:
        yield started


def test_s3_goes_through(sea: seaweedfs.SeaweedFs, proxy: ProxyServer) -> None:
    place = f"s3://{seaweedfs.BUCKET}/{proxy.kind}?endpoint=http://{STORE}:{sea.port}&region=us-east-1"
    access = StoreAccess(
        credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True, proxy=proxy.proxy()
    )
    store = open_once(Opening(place, "t", access, create=True))
    with closing(store):
        store.put("blocks/one", [b"bytes"])
        assert store.get("blocks/one") == b"bytes"
    assert proxy.asked_for(sea.port) > 0
    wrong = msgspec.structs.replace(access, proxy=proxy.proxy("wrong-word-0"))
    with pytest.raises(ProxyLoginError) as caught:
        open_once(Opening(place, "t", wrong))
    assert "wrong-word-0" not in str(caught.value) + caught.value.hint


def test_rclone_goes_through(proxy: ProxyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebDAV server of no known vendor has no hashes: rclone was asked for one without a name, and puts failed."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    folder = tmp_path / "webdav"
    folder.mkdir()
    authority = Authority(folder)
    server = RcloneWebdav(folder, authority, authority.server("store", name=STORE))
    try:
        (server.files / "place").mkdir()
        hidden = _obscured(DAV_PASSWORD)
        conf = f"[far]\ntype = webdav\nurl = https://{STORE}:{server.port}\nuser = {DAV_USER}\npass = {hidden}\n"
        access = StoreAccess(credentials=conf.encode(), ca_file=str(authority.file), proxy=proxy.proxy())
        assert _uses(open_once(Opening("rclone:far:place", "t", access)), proxy, server.port)
        wrong = StoreAccess(credentials=conf.encode(), ca_file=str(authority.file), proxy=proxy.proxy("wrong-word-0"))
        with pytest.raises(BackupError) as caught:
            open_once(Opening("rclone:far:place", "t", wrong))
        assert "wrong-word-0" not in f"{caught.value} {caught.value.hint} {caught.value.context}"
    finally:
        server.kill()


def _obscured(word: str) -> str:
    """As an rclone.conf has passwords."""
    command = [program("rclone"), "obscure", word]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
def test_what_goes_through_no_proxy_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the login goes the direct way, which the administrator had closed or has watched."""
    monkeypatch.setenv("PATH", f"{Path(program('rclone')).parent}:/usr/bin:/bin")
    proxy = Proxy(url="http://127.0.0.1:9")
    conf = f"[far]\ntype = {kind}\nhost = 127.0.0.1\n"
    for place in ("ftps://me@127.0.0.1/place", "rclone:far:place"):
        access = StoreAccess(credentials=conf.encode(), proxy=proxy, allow_plaintext=True)
        with pytest.raises(UsageError, match=r"FTP|speaks") as caught:
            open_once(Opening(place, "t", access))
        assert "proxy: direct" in caught.value.hint


def test_a_wrong_login_is_told_as_that(proxy: ProxyServer, webdav: RcloneWebdav) -> None:
    for wrong in (proxy.proxy("wrong-word-0"), Proxy(url=proxy.url)):
        with pytest.raises(ProxyLoginError) as caught:
            _webdav(webdav, wrong)
        assert not caught.value.retryable
        assert "wrong-word-0" not in str(caught.value) + caught.value.hint
        assert PASSWORD not in str(caught.value) + caught.value.hint


def test_a_proxy_that_is_down_is_told_as_that(webdav: RcloneWebdav) -> None:
    for kind in _KINDS:
        with pytest.raises(ProxyUnreachableError) as caught:
            _webdav(webdav, Proxy(url=f"{kind}://127.0.0.1:{free_port()}", login=login()))
        assert caught.value.retryable
        assert PASSWORD not in str(caught.value)


def test_a_proxy_says_what_it_forbids_and_what_it_does_not_reach(proxy: ProxyServer) -> None:
    with pytest.raises(ProxyRefusedError) as refused:
        dial(FORBIDDEN, 443, proxy.proxy(), _SECONDS)
    assert not refused.value.retryable
    for host, port in (("nobody.test", 443), (STORE, free_port())):
        with pytest.raises(ProxyTargetError) as lost:
            dial(host, port, proxy.proxy(), _SECONDS)
        assert lost.value.retryable


def test_a_certificate_behind_the_proxy_is_looked_at(proxy: ProxyServer, tmp_path: Path) -> None:
    """A proxy may be the very one who shows a certificate of its own."""
    authority = Authority(tmp_path)
    server = RcloneWebdav(tmp_path, authority, authority.server("store", name="other.test"))
    try:
        with pytest.raises(CertificateError):
            _webdav(server, proxy.proxy())
    finally:
        server.kill()


def test_the_environment_names_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a login goes through whatever the shell of the caller had set, and jobs of the daemon go elsewhere."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    own = tmp_path / "own"
    own.mkdir()
    server = RcloneWebdav(own)
    try:
        server.open().close()
    finally:
        server.kill()
    with rclone_s3(tmp_path, flags=("--auth-key=key,secret-word",)) as door:
        place = f"s3://backups/x?endpoint=http://127.0.0.1:{door.port}&region=us-east-1"
        access = StoreAccess(
            credentials=b"access_key_id = key\nsecret_access_key = secret-word\n", allow_plaintext=True
        )
        with closing(open_once(Opening(place, "t", access))) as store:
            assert store.top_names() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"\x05\x00" * 9000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9000, b"\x05\xff", b"\x04\x5a" * 8, b"\x05\x00\x05\x00\x00\x09",
        b"\x05\x00\x05\x00\x00\x03\xffshort",
    ],
)  # fmt: skip
def test_what_answers_as_no_proxy_does_is_none(answer: bytes) -> None:
    """Whoever sits at that port: an error of ours, in time."""

    def talk(end: socket.socket) -> None:
        with suppress(OSError):
            end.recv(4096)
            end.sendall(answer)
            end.shutdown(socket.SHUT_WR)

    with accepting(talk) as port:
        for kind in _KINDS:
            with pytest.raises((ProxyUnreachableError, ProxyLoginError)):
                dial(STORE, 443, Proxy(url=f"{kind}://127.0.0.1:{port}"), _SECONDS)


def test_a_way_has_all_of_its_time_for_answers(proxy: ProxyServer, sea: seaweedfs.SeaweedFs) -> None:
    """Else a server that is slow to answer counts as dead after what was left of the time to connect."""
    with dial(STORE, sea.port, proxy.proxy(), _SECONDS) as connection:
        assert connection.gettimeout() == _SECONDS


def test_limits_hold_behind_a_proxy(proxy: ProxyServer, sea: seaweedfs.SeaweedFs) -> None:
    """The line of an office stands still while a backup runs, though a limit was set."""
    place = f"s3://{seaweedfs.BUCKET}/{proxy.kind}-limit?endpoint=http://{STORE}:{sea.port}"
    login_of_store = seaweedfs.credentials(seaweedfs.OWNER)
    table = PaceTable()
    number = table.allocate()
    table.set_member(number, (0, 0), (200_000, 0))
    grant = PaceGrant(descriptor=table.descriptor, member=number)
    access = StoreAccess(credentials=login_of_store, allow_plaintext=True, proxy=proxy.proxy(), pace=grant)
    with closing(table), closing(open_store(place, "t", access, create=True)) as store:
        began = time.monotonic()
        store.put("r1/blocks/a", [os.urandom(400_000)])
        # A machine with too much to do is slower, never faster.
        assert time.monotonic() - began > 400_000 / 200_000 / 1.2
    assert proxy.asked_for(sea.port)


def _silence(_: socket.socket) -> None:
    """Says nothing."""


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("talk", [_silence])
def test_a_silent_proxy_is_waited_for_no_longer_than_said(kind: str, talk: Callable[[socket.socket], None]) -> None:
    with accepting(talk) as port:
        began = time.monotonic()
        with pytest.raises(ProxyUnreachableError):
            dial(STORE, 443, Proxy(url=f"{kind}://127.0.0.1:{port}"), 0.3)
        # With room for a slow machine, and far below what a socket without a time limit would wait.
        assert 0.3 <= time.monotonic() - began < 10
