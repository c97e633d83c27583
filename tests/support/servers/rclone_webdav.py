"""`rclone serve webdav` on 127.0.0.1."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.servers.certificates import Authority
from tests.support.servers.process import free_port
from tests.support.servers.webdav_server import PASSWORD, USER, WebdavServer


class RcloneWebdav(WebdavServer):
    """Rclone over a local folder, with Basic login."""

    def __init__(
        self,
        folder: Path,
        authority: Authority | None = None,
        certificate: tuple[Path, Path] | None = None,
        *wishes: str,
        is_plain: bool = False,
    ) -> None:
        """folder: an empty one, of which `files` is served unless it is there already. wishes: further options."""
        self.files, self.port, self.is_plain = folder / "files", free_port(), is_plain
        self.files.mkdir(exist_ok=True)
        self.authority = authority or Authority(folder)
        pair = certificate or self.authority.server("server")
        words: list[str | Path] = [Path(sys.executable).parent / "rclone", "serve", "webdav", self.files, "--addr"]
        words += [f"127.0.0.1:{self.port}", "--user", USER, "--pass", PASSWORD, *wishes]
        if not is_plain:
            words += ["--cert", pair[0], "--key", pair[1]]
        environ = {"RCLONE_CONFIG": str(folder / "rclone.conf"), "RCLONE_CACHE_DIR": str(folder / "cache")}
        super().__init__(words, folder, environ)
        self.wait_for_port(self.port)
