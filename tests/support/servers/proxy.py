"""Proxies as processes of their own, behind which alone the host store.test is known."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backupd.model.store_access import Proxy
from tests.support.servers.process import ServerProcess, free_port

USER, PASSWORD = "walker", "gate-word-55a1"
STORE, FORBIDDEN = "store.test", "forbidden.test"
"""Hosts that the proxy knows: one is this machine, to the other it lets nobody."""


class ProxyServer(ServerProcess):
    """Of the kind `http` or `socks5`."""

    def __init__(self, kind: str, folder: Path, *, wants_login: bool = True) -> None:
        self.port, self.kind = free_port(), kind
        runner = Path(__file__).with_name("proxy_runner.py")
        environ = {"PROXY_LOGIN": f"{USER}:{PASSWORD}"} if wants_login else {}
        super().__init__([sys.executable, runner, kind, str(self.port)], folder, environ)
        self.wait_for_port(self.port)
        self.login_file = folder / "proxy.login"
        self.login_file.write_bytes(login())
        self.login_file.chmod(0o600)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.kind}://127.0.0.1:{self.port}"

    def proxy(self, password: str = PASSWORD) -> Proxy:
        """As orders have it."""
        return Proxy(url=self.url, login=login(password))

    def asked_for(self, port: int, host: str = STORE) -> int:
        """How often it was asked for a way there."""
        return self.log.count(f"asked for {host}:{port}\n")


def login(password: str = PASSWORD) -> bytes:
    """The text of a proxy's login."""
    return f"user = {USER}\npassword = {password}\n".encode()


@contextmanager
def proxy_server(kind: str, folder: Path, *, wants_login: bool = True) -> Iterator[ProxyServer]:
    """A running one, ended in the end."""
    folder.mkdir(exist_ok=True)
    server = ProxyServer(kind, folder, wants_login=wants_login)
    try:
        yield server
    finally:
        server.kill()
