"""The FTP server's own process: pyftpdlib with TLS, as its one argument, a JSON document, says."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.exceptions import _FileReadWriteError
from pyftpdlib.handlers import FTPHandler, TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.log import logger
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


class Transfer(TLS_DTPHandler):  # type: ignore[misc]
    """Tells of a full disk by RFC 959's code: the original loses the reason, and with TLS the reply, too."""

    def handle_error(self) -> None:
        """Close the file, which fails once more, then answer."""
        found = sys.exc_info()[1]
        if isinstance(found, _FileReadWriteError) and isinstance(found.__cause__, OSError):
            with suppress(OSError):
                self.file_obj.close()
            self._error = True
            self._resp = (f"452 {found.__cause__.strerror}.", logger.warning)
            self.close()
        else:
            super().handle_error()


def _halve(_: FTPHandler, path: str) -> None:
    """A disk that keeps half of what it took."""
    os.truncate(path, os.path.getsize(path) // 2)


def main() -> None:
    """Serve until killed."""
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    kinds = {"explicit": TLS_FTPHandler, "implicit": ImplicitHandler, "none": FTPHandler}
    handler: Any = type("Handler", (kinds[wanted["tls"]],), {})
    handler.authorizer = DummyAuthorizer()
    for user, password, rights in wanted["users"]:
        handler.authorizer.add_user(user, password, wanted["folder"], perm=rights)
    if wanted["tls"] != "none":
        handler.dtp_handler = Transfer
        handler.certfile, handler.keyfile = wanted["certificate"], wanted["key"]
        handler.tls_control_required = handler.tls_data_required = wanted["tls"] == "explicit"
    handler.auth_failed_timeout = 0
    if wanted["is_lossy"]:
        handler.on_file_received = _halve
    server = FTPServer(("127.0.0.1", wanted["port"]), handler)
    server.max_cons_per_ip = wanted["most_connections"]
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
