"""wsgidav on cheroot, on 127.0.0.1: run as a module it is the server's own process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.support.servers.certificates import Authority
from tests.support.servers.process import free_port
from tests.support.servers.webdav_server import PASSWORD, USER, WebdavServer


class Wsgidav(WebdavServer):
    """A second server, of another make, with Digest or Basic login."""

    def __init__(self, folder: Path, *, login: str = "digest", is_read_only: bool = False) -> None:
        """folder: an empty one, of which `files` is served unless it is there already."""
        self.files, self.port, self.is_plain = folder / "files", free_port(), False
        self.files.mkdir(exist_ok=True)
        self.authority = Authority(folder)
        certificate, key = self.authority.server("server")
        wanted = {
            "files": str(self.files),
            "port": self.port,
            "login": login,
            "is_read_only": is_read_only,
            "certificate": str(certificate),
            "key": str(key),
        }
        super().__init__([sys.executable, "-m", __name__, json.dumps(wanted)], folder)
        self.wait_for_port(self.port)


def main() -> None:
    """Serve until killed."""
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    is_digest = wanted["login"] == "digest"
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": {"root": wanted["files"], "readonly": wanted["is_read_only"]}},
            "http_authenticator": {
                "accept_basic": not is_digest,
                "accept_digest": is_digest,
                "default_to_digest": is_digest,
            },
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "lock_storage": True,
            "property_manager": None,
            "verbose": 2,
        }
    )
    server = wsgi.Server(("127.0.0.1", wanted["port"]), app, numthreads=20)
    server.ssl_adapter = BuiltinSSLAdapter(wanted["certificate"], wanted["key"])
    server.safe_start()


if __name__ == "__main__":
    main()
