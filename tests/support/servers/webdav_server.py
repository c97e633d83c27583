"""What the WebDAV servers share: addresses, logins, how a place there is opened."""

from __future__ import annotations

from pathlib import Path

from backupd.destination.contract import Opening
from backupd.destination.network_door import TimeLimits
from backupd.destination.webdav.store import WebdavStore, open_with_limits
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from tests.support.servers.certificates import Authority
from tests.support.servers.process import ServerProcess

USER, PASSWORD = "keeper", "correct-horse-7"


class WebdavServer(ServerProcess):
    """Serves `files` below its folder."""

    files: Path
    port: int
    authority: Authority
    is_plain: bool

    def place(self, path: str = "/place") -> str:
        """An address there."""
        return f"{'webdav' if self.is_plain else 'webdavs'}://{USER}@127.0.0.1:{self.port}{path}"

    def access(self, password: str = PASSWORD) -> StoreAccess:
        """What opens it."""
        return StoreAccess(
            credentials=password.encode(), ca_file=str(self.authority.file), allow_plaintext=self.is_plain
        )

    def open(
        self,
        tag: str = "t1",
        place: str = "",
        access: StoreAccess | None = None,
        seconds: float = 20.0,
        *,
        create: bool = True,
    ) -> WebdavStore:
        """Open a place there. seconds: for which a silent server is waited for."""
        place = place or self.place()
        opening = Opening(place, tag, access or self.access(), create)
        return open_with_limits(PlaceUrl.parse(place), opening, TimeLimits(seconds, seconds))
