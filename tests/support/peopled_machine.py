"""A machine with users of its own, as one daemon of root's sees it; root on Linux."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.daemon import Daemon

PEOPLE = {"alice": 32001, "bob": 32002, "carol": 32003}
"""Login names and numbers."""


class Machine:
    """A daemon of root's on a machine with users of its own: it alone sees another /etc/passwd."""

    def __init__(self, top: Path, also: str = "true") -> None:
        """also: shell commands before it starts, among mounts of its own."""
        self.homes, self._passwd = top / "homes", top / "passwd"
        self.homes.mkdir()
        self._passwd.write_text("root:x:0:0::/root:/bin/sh\nsvc:x:99:99::/srv:/bin/sh\n")
        self.daemon = Daemon(top / "d")
        mounted = f'{also} && mount --bind "$0" /etc/passwd && exec "$@"'
        self.daemon.prefix = ["unshare", "--mount", "sh", "-c", mounted, str(self._passwd)]

    def add(self, name: str, *files: str, says: str = "") -> Path:
        """A user with files below his home, and his user-dirs.dirs."""
        home, uid = self.homes / name, PEOPLE[name]
        for file in files:
            write(home / file)
        if says:
            (home / ".config").mkdir(parents=True)
            (home / ".config" / "user-dirs.dirs").write_text(says)
        for top, _, names in os.walk(home):
            for path in (top, *(os.path.join(top, one) for one in names)):
                os.chown(path, uid, uid)
        with self._passwd.open("a") as passwd:
            passwd.write(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n")
        return home

    def restored(self, name: str, to: Path) -> set[str]:
        """The files of a set's last snapshot, below the homes; what lies elsewhere as it is."""
        self.daemon.good("restore", name, "--to", to)
        found = (os.path.join(top, one)[len(str(to)) :] for top, _, names in os.walk(to) for one in names)
        return {path.removeprefix(f"{self.homes}/") for path in found}


def write(path: Path) -> None:
    """A file that holds its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
