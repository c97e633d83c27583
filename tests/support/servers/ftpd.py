"""An FTP server on 127.0.0.1, with TLS or without, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from backupd.destination.contract import Opening
from backupd.destination.ftp.store import FtpStore, open_with_limits
from backupd.destination.network_door import TimeLimits
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from tests.support.servers.certificates import Authority
from tests.support.servers.process import ServerProcess, free_port

USER, READER, PASSWORD = "keeper", "reader", "correct-horse-7"
_WRITER, _READER = "elradfmwMT", "elr"


class Ftpd(ServerProcess):
    """Serves a folder; `place` is its address."""

    def __init__(
        self,
        folder: Path,
        tls: str = "explicit",
        authority: Authority | None = None,
        certificate: tuple[Path, Path] | None = None,
        most_connections: int = 0,
        *,
        is_lossy: bool = False,
    ) -> None:
        """folder: an empty one, of which `files` is served unless it is there already.

        is_lossy: it keeps half of each object.
        """
        self.files, self.port = folder / "files", free_port()
        self.files.mkdir(exist_ok=True)
        self.authority = authority or Authority(folder)
        self._tls = tls
        certificate = certificate or self.authority.server("server")
        wanted = {
            "tls": tls,
            "users": [(USER, PASSWORD, _WRITER), (READER, PASSWORD, _READER)],
            "folder": str(self.files),
            "certificate": str(certificate[0]),
            "key": str(certificate[1]),
            "port": self.port,
            "most_connections": most_connections,
            "is_lossy": is_lossy,
        }
        super().__init__([sys.executable, "-m", "tests.support.servers.ftpd_runner", json.dumps(wanted)], folder)
        self.wait_for_port(self.port)

    def place(self, path: str = "/place", user: str = USER) -> str:
        """An address there."""
        scheme, options = {"explicit": ("ftps", ""), "implicit": ("ftps", "?tls=implicit"), "none": ("ftp", "")}[
            self._tls
        ]
        return f"{scheme}://{user}@127.0.0.1:{self.port}{path}{options}"

    def access(self, password: str = PASSWORD) -> StoreAccess:
        """What opens it."""
        return StoreAccess(
            credentials=password.encode(), ca_file=str(self.authority.file), allow_plaintext=self._tls == "none"
        )

    def open(
        self,
        tag: str = "t1",
        place: str = "",
        access: StoreAccess | None = None,
        seconds: float = 20.0,
        *,
        create: bool = True,
    ) -> FtpStore:
        """Open a place there. seconds: for which a silent server is waited for."""
        place = place or self.place()
        opening = Opening(place, tag, access or self.access(), create)
        return open_with_limits(PlaceUrl.parse(place), opening, TimeLimits(seconds, seconds))
