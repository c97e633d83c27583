"""A daemon with a set whose commands a test chooses, and a notice of all that happens to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon, running_daemon
from tests.support.servers.hook_server import HookServer, hook_server

KINDS = ("pre", "success", "failure", "finally", "post")


class Scene:
    """All of it; the set is called `home`."""

    def __init__(self, daemon: Daemon, hook: HookServer) -> None:
        self.daemon, self.hook, self.home = daemon, hook, daemon.home
        self.source, self.told = self.home / "src", self.home / "told"

    def make(self, commands: list[dict[str, Any]], *, source: Path | None = None, **more: Any) -> None:
        self.told.unlink(missing_ok=True)
        self.hook.posted.clear()
        url = f"http://127.0.0.1:{self.hook.port}/in"
        document = {
            "destinations": [{"name": "repo", "place": str(self.home / "repo")}],
            "sets": [
                {
                    "name": "home",
                    "sources": [str(source or self.source)],
                    "to": ["repo"],
                    "jobs": 1,
                    "commands": commands,
                    **more,
                }
            ],
            "notices": [
                {"name": "all", "url": url, "on": ["success", "warning", "failure"], "allow_plaintext": True}
            ],
        }
        self.daemon.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())

    def noting(self, name: str, when: str, then: str = "", **more: Any) -> dict[str, Any]:
        """A command that notes that it ran, and how the run stood."""
        text = f'echo "{name} ${{BACKUPD_STATUS-}}" >> {self.told}; {then}'
        return {"name": name, "when": when, "shell": text, **more}

    def all_kinds(self) -> list[dict[str, Any]]:
        return [self.noting(kind, kind) for kind in reversed(KINDS)]

    def ran(self) -> list[str]:
        return self.told.read_text().splitlines() if self.told.exists() else []

    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.good("job", "show", "latest")["job"]
        return found

    def log(self) -> str:
        return self.daemon.bkctl("job", "log", "latest").stdout.decode()

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.good("report", "list")["reports"][0]
        return found

    def begin(self) -> str:
        """A run that nobody waits for; its job."""
        return str(self.daemon.good("backup", "home", "--detach")["jobs"][0]["id"])

    def ended(self, job: str) -> dict[str, Any]:
        until(lambda: self.daemon.good("job", "show", job)["job"]["exit"] is not None)
        found: dict[str, Any] = self.daemon.good("job", "show", job)["job"]
        return found


@contextmanager
def running_scene(home: Path) -> Generator[Scene, None, None]:
    """A daemon with a source that holds one file, and a server that takes its notices in."""
    with hook_server() as hook, running_daemon(home) as daemon:
        scene = Scene(daemon, hook)
        scene.source.mkdir()
        (scene.source / "letter").write_text("dear")
        yield scene


def until(look: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_dead(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX"
