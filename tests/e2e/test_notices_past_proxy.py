"""Notices from a net that is left by a proxy alone: mail, webhooks and Apprise's addresses go past it, too."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.noticing import TrustingDaemon, settings_of
from tests.support.servers.certificates import Authority
from tests.support.servers.hook_server import HookServer, hook_server
from tests.support.servers.mail_server import MailServer, mail_server
from tests.support.servers.proxy import STORE, ProxyServer, login, proxy_server

ANNA = "mailto:anna@example.org"


class Net(NamedTuple):
    """Servers at a host that the proxy alone knows, and a daemon with that proxy."""

    daemon: TrustingDaemon
    proxy: ProxyServer
    mail: MailServer
    hook: HookServer

    def test(self, name: str, *words: str) -> dict[str, Any]:
        """What `notice test` says of a new notice, which is taken away again."""
        self.daemon.good("notice", "add", name, *words)
        try:
            return self.daemon.json("notice", "test", name)
        finally:
            self.daemon.good("notice", "remove", name, "--yes")


@pytest.fixture(scope="module", params=["http", pytest.param("socks5", marks=pytest.mark.nightly)])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Net, None, None]:
    home: Path = tmp_path_factory.mktemp(request.param)
    authority = Authority(home)
    with (
        mail_server("starttls", authority.server("mail", name=STORE), login=True) as mail,
        hook_server(authority.server("hook", name=STORE)) as hook,
        proxy_server(request.param, home / "proxy") as proxy,
    ):
        settings = settings_of(home, mail, authority).replace("127.0.0.1", STORE)
        settings += f"proxy: {{url: '{proxy.url}', login: {{file: {proxy.login_file}}}}}\n"
        daemon = TrustingDaemon(home, authority, settings)
        daemon.start()
        try:
            yield Net(daemon, proxy, mail, hook)
        finally:
            daemon.stop()


def test_mail_goes_past_the_proxy(net: Net) -> None:
    """TLS is with the mail server itself; doctor tries it on the same way, and says what is wrong there."""
    assert net.test("admins", ANNA)["exit"] == 0
    assert net.mail.wait_for(1)[0].is_encrypted
    assert net.proxy.asked_for(net.mail.port) == 1
    net.daemon.good("notice", "add", "admins", ANNA)
    assert "greets" in _finding(net.daemon)
    assert net.proxy.asked_for(net.mail.port) == 2
    net.proxy.login_file.write_bytes(login("wrong"))
    try:
        assert "it does not take this login" in _finding(net.daemon)
        told = net.daemon.json("notice", "test", "admins")
        assert told["exit"] == 1
        assert "it does not take this login" in told["error"]["message"]
    finally:
        net.proxy.login_file.write_bytes(login())
    net.daemon.good("config", "set", "smtp.proxy", "direct")
    assert net.daemon.json("notice", "test", "admins")["exit"] == 1
    net.daemon.good("notice", "remove", "admins", "--yes")
    assert net.proxy.asked_for(net.mail.port) == 2


def test_webhooks_go_past_the_proxy_and_what_says_direct_does_not(net: Net) -> None:
    url = f"https://{STORE}:{net.hook.port}/in"
    assert net.test("hook", url)["exit"] == 0
    assert [one.path for one in net.hook.wait_for(1)] == ["/in"]
    assert net.test("straight", url, "--proxy", "direct")["exit"] == 1
    forbidden = net.test("forbidden", "https://forbidden.test/in")
    assert "lets nobody to forbidden.test:443" in forbidden["error"]["message"]
    assert net.proxy.asked_for(net.hook.port) == 1
    assert len(net.hook.posted) == 1


def test_this_machine_is_reached_without_the_proxy(net: Net) -> None:
    """A proxy elsewhere would take it for itself."""
    with hook_server() as here:
        assert net.test("here", f"http://127.0.0.1:{here.port}/in", "--allow-plaintext")["exit"] == 0
        here.wait_for(1)
        assert net.proxy.asked_for(here.port, "127.0.0.1") == 0


def test_apprise_goes_past_the_proxy_or_not_at_all(net: Net) -> None:
    """What speaks no HTTP would leave the net on a way of its own; and without a library there is no way by SOCKS."""
    net.hook.posted.clear()
    before = net.proxy.asked_for(net.hook.port)
    told = net.test("phone", f"jsons://{STORE}:{net.hook.port}/in?verify=no")
    if net.proxy.kind == "http":
        assert told["exit"] == 0
        net.hook.wait_for(1)
        assert net.proxy.asked_for(net.hook.port) == before + 1
    else:
        assert "PySocks" in told["error"]["message"]
    other = net.test("log", "rsyslog://127.0.0.1")
    assert "don't go past the proxy" in other["error"]["message"]


def _finding(daemon: TrustingDaemon) -> str:
    """What doctor says of the mail server."""
    found = daemon.json("doctor")["result"]["findings"]
    return next(str(one["message"]) for one in found if one["check"].startswith("mail server"))
