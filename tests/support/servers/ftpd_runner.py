"""The FTP server's own process: pyftpdlib with TLS, as its one argument, a JSON document, says."""

from __future__ import annotations

import json
import sys
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer


class ImplicitHandler(TLS_FTPHandler):  # type: ignore[misc]
    """Begins with TLS, as at port 990."""

    def handle(self) -> None:
        """Encrypt, then greet."""
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        """The greeting waits for it."""
        FTPHandler.handle(self)

    def ftp_AUTH(self, arg: str) -> None:  # noqa: N802 - pyftpdlib finds commands by their names
        """There is nothing to begin."""
        self.respond("550 not supported because TLS is implicit")


def main() -> None:
    """Serve until killed."""
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    kinds = {"explicit": TLS_FTPHandler, "implicit": ImplicitHandler, "none": FTPHandler}
    handler = type("Handler", (kinds[wanted["tls"]],), {})
    handler.authorizer = DummyAuthorizer()
    for user, password, rights in wanted["users"]:
        handler.authorizer.add_user(user, password, wanted["folder"], perm=rights)
    if wanted["tls"] != "none":
        handler.certfile, handler.keyfile = wanted["certificate"], wanted["key"]
        handler.tls_control_required = handler.tls_data_required = wanted["tls"] == "explicit"
    handler.auth_failed_timeout = 0
    server = FTPServer(("127.0.0.1", wanted["port"]), handler)
    server.max_cons_per_ip = wanted["most_connections"]
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
