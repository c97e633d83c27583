"""Destinations behind a proxy, by command line and by the daemon's settings; only the proxy knows their host."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.model.destination_orders import ProxyTestOrder
from backupd.model.store_access import Proxy, StoreAccess
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine
from tests.support.servers.process import free_port
from tests.support.servers.proxy import FORBIDDEN, PASSWORD, STORE, ProxyServer, proxy_server
from tests.support.servers.rclone_webdav import RcloneWebdav
from tests.support.servers.sshd import Sshd, fingerprint, sshd


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd, None, None]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Generator[ProxyServer, None, None]:
    with proxy_server("socks5", tmp_path_factory.mktemp("proxy")) as started:
        yield started


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    (made / "a").write_bytes(b"a" * 1000)
    return made


def _door(ssh: Sshd) -> tuple[str | Path, ...]:
    return ("--credentials-file", ssh.login_key, "--host-key", fingerprint(ssh.host_key))


def test_once_and_restore_through_a_proxy(ssh: Sshd, proxy: ProxyServer, source: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home")
    place = f"sftp://{ssh.user}@{STORE}:{ssh.port}{tmp_path}/place"
    way = ("--proxy", proxy.url, "--proxy-login-file", proxy.login_file)
    made = machine.json("once", source, "--to", place, *_door(ssh), *way)
    assert made["exit"] == 0, made
    assert proxy.asked_for(ssh.port) > 0
    printed = shlex.split(made["result"]["runs"][0]["restore_command"])
    asked = [printed[printed.index(option) + 1] for option in ("--proxy", "--proxy-login-file")]
    assert asked == [proxy.url, str(proxy.login_file)], "the printed command works as it is"
    restored = machine.json("restore", source, "--from", place, *_door(ssh), *way, "--to", tmp_path / "out")
    assert restored["exit"] == 0, restored
    assert PASSWORD not in str(made) + str(restored)
    without = machine.json("snapshot", "list", "--from", place, *_door(ssh), "--retry-for", "0s")
    assert without["error"]["code"] == "destination.unreachable", "nobody else knows that host"
    wrong = tmp_path / "wrong"
    wrong.write_text("user = walker\npassword = wrong-word-0\n")
    for words, code, exit_code in (
        (("--proxy", proxy.url, "--proxy-login-file", wrong), "proxy.login", 15),
        (("--proxy", f"socks5://127.0.0.1:{free_port()}"), "proxy.unreachable", 15),
        (("--proxy", f"socks5://walker:{PASSWORD}@127.0.0.1:1080"), "usage.invalid", 2),
        (("--proxy", "ftp://127.0.0.1:1"), "usage.invalid", 2),
        (("--proxy-login-file", wrong), "usage.invalid", 2),
    ):
        failed = machine.json("snapshot", "list", "--from", place, *_door(ssh), *words, "--retry-for", "0s")
        assert (failed["error"]["code"], failed["exit"]) == (code, exit_code), failed
        assert "wrong-word-0" not in str(failed)
        assert PASSWORD not in str(failed)


def test_the_daemons_proxy_holds_for_all_that_say_nothing(
    ssh: Sshd, proxy: ProxyServer, source: Path, tmp_path: Path
) -> None:
    settings = f"proxy:\n  url: {proxy.url}\n  login: {{file: {proxy.login_file}}}\n"
    far, near = (f"sftp://{ssh.user}@{host}:{ssh.port}{tmp_path}" for host in (STORE, "127.0.0.1"))
    with running_daemon(tmp_path / "home", settings=settings) as daemon:
        before = proxy.asked_for(ssh.port)
        daemon.good("destination", "add", "far", f"{far}/far", *_door(ssh))
        assert proxy.asked_for(ssh.port) > before
        by_proxy = proxy.asked_for(ssh.port, "127.0.0.1")
        shown = daemon.good("destination", "add", "near", f"{near}/near", *_door(ssh), "--proxy", "direct")
        assert (shown["destination"]["proxy"], shown["destination"]["proxy_login"]) == ("direct", None)
        daemon.good("set", "create", "docs", "--source", source, "--to", "far", "--to", "near", "--jobs", "1")
        daemon.good("backup", "docs")
        assert proxy.asked_for(ssh.port, "127.0.0.1") == by_proxy, "direct is direct"
        _tell_steps_apart(daemon, ssh, proxy)
        words = ("--proxy", proxy.url, "--proxy-login-file", proxy.login_file)
        shown = daemon.good("destination", "edit", "near", *words)["destination"]
        assert (shown["proxy"], shown["proxy_login"]) == (proxy.url, f"file {proxy.login_file}")
        daemon.good("backup", "docs", "--to", "near")
        assert proxy.asked_for(ssh.port, "127.0.0.1") > by_proxy
        assert daemon.good("destination", "edit", "near", "--proxy", "")["destination"]["proxy"] is None
        assert daemon.json("destination", "edit", "near", "--proxy-login-file", proxy.login_file)["exit"] == 2
        daemon.good("config", "set", "proxy.url", f"http://127.0.0.1:{free_port()}")
        daemon.good("destination", "edit", "far", "--retry-for", "0s")
        assert daemon.json("backup", "docs", "--to", "far")["error"]["code"] == "proxy.unreachable"
        assert daemon.json("config", "set", "proxy.url", f"http://walker:{PASSWORD}@127.0.0.1:1")["exit"] == 2
        everything = f"{daemon.json('config', 'show')} {daemon.json('job', 'list')} {daemon.said()}"
        assert PASSWORD not in everything


def _tell_steps_apart(daemon: Daemon, ssh: Sshd, proxy: ProxyServer) -> None:
    found = daemon.good("config", "test-proxy")
    assert (found["proxy"], found["to"]) == (proxy.url, f"{STORE}:{ssh.port}")
    assert [step["verdict"] for step in found["steps"]] == ["good", "good", "good", "skipped"], "SSH has no TLS"
    lost = daemon.json("config", "test-proxy", "--to", f"{FORBIDDEN}:443")
    assert (lost["exit"], lost["error"]["code"]) == (15, "proxy.refused")
    assert [step["verdict"] for step in lost["result"]["steps"]] == ["good", "good", "failed", "skipped"]


@pytest.mark.parametrize("kind", [pytest.param("http", marks=pytest.mark.nightly), "socks5"])
def test_a_proxy_is_tried_without_a_daemon(kind: str, tmp_path: Path) -> None:
    """Who sets one up must see which of its four parts is wrong."""
    machine = Machine(tmp_path / "home")
    (tmp_path / "dav").mkdir()
    server = RcloneWebdav(tmp_path / "dav")
    try:
        with proxy_server(kind, tmp_path / "proxy") as proxy:
            to, ca_file = f"127.0.0.1:{server.port}", str(server.authority.file)
            good, wrong = proxy.proxy(), proxy.proxy("wrong-word-0")
            trusting = StoreAccess(proxy=good, ca_file=ca_file)
            for host, port, access, code, verdicts in (
                ("127.0.0.1", server.port, trusting, None, "good good good good"),
                ("127.0.0.1", server.port, StoreAccess(proxy=good), "destination.certificate", "good good good failed"),
                ("127.0.0.1", proxy.port, trusting, "destination.unreachable", "good good good failed"),
                ("nobody.test", 443, trusting, "proxy.target", "good good failed skipped"),
                (FORBIDDEN, 443, trusting, "proxy.refused", "good good failed skipped"),
                (STORE, 443, StoreAccess(proxy=wrong), "proxy.login", "good failed skipped skipped"),
                (STORE, 443, StoreAccess(proxy=Proxy(url=proxy.url)), "proxy.login", "good failed skipped skipped"),
            ):
                done = machine.run(ProxyTestOrder(place="", host=host, port=port, access=access)).done
                assert (done.error or {}).get("code") == code, done
                assert " ".join(step["verdict"] for step in done.result["steps"]) == verdicts
                assert done.exit_code == (0 if code is None else 15)
                assert not any(word in str(done) for word in ("wrong-word-0", PASSWORD))
            words = ("--to", to, "--proxy", proxy.url, "--proxy-login-file", proxy.login_file)
            told = machine.json("config", "test-proxy", *words, "--ca-file", ca_file)
            assert [step["verdict"] for step in told["result"]["steps"]] == ["good"] * 4
            told = machine.json("config", "test-proxy", *words, "--no-tls")
            assert [step["verdict"] for step in told["result"]["steps"]] == ["good"] * 3 + ["skipped"]
        down = machine.run(
            ProxyTestOrder(place="", host=STORE, port=443, access=StoreAccess(proxy=Proxy(url=proxy.url)))
        ).done
        assert (down.error or {})["code"] == "proxy.unreachable"
        assert down.result["steps"][0]["verdict"] == "failed"
        text = machine.bkctl("config", "test-proxy", "--to", to, "--proxy", proxy.url).stdout.decode()
        assert "connection  failed: the proxy" in text
    finally:
        server.kill()
    assert machine.json("config", "test-proxy", "--proxy", proxy.url)["exit"] == 2, "there is no server to try"
