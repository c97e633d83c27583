"""launchd's part: one file with the program filled in, taken on by launchctl. macOS binds no socket for the daemon."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal

from backupd.errors import NotFoundError, UsageError
from bkctl.service.files import read_files
from bkctl.service.manager import Standing, Wanted
from bkctl.service.programs import ask
from bkctl.service.scope import Scope, launch_agent
from bkctl.service.shipped import shipped


class Launchd:
    """The machine's launchd, or a user's part of it."""

    name: Literal["systemd", "launchd"] = "launchd"
    load_starts = True

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._label = "org.backupd.backupd" if scope.is_system else "org.backupd.agent"
        self._domain = "system" if scope.is_system else f"gui/{os.geteuid()}"
        self._service = f"{self._domain}/{self._label}"
        system = f"{scope.root}/Library/LaunchDaemons/{self._label}.plist"
        self._path = system if scope.is_system else launch_agent()

    def require(self) -> None:
        """Raises NotFoundError where launchd does not run here."""
        try:
            ask(["launchctl", "version"])
        except NotFoundError as error:
            hint = "run backupd in the foreground: backupd"
            raise NotFoundError("there is no launchd here", hint=hint) from error

    def installed(self) -> dict[str, bytes]:
        """The file that an installation made."""
        return read_files([self._path])

    def wanted(self, wanted: Wanted) -> dict[str, bytes]:
        """The file that an installation is to make. Raises UsageError."""
        if wanted.socket_group or wanted.socket_mode or wanted.added or wanted.taken:
            raise UsageError(
                "--socket-group, --socket-mode, --with and --without are for systemd",
                hint="macOS binds no socket for the daemon, which is reached by who started it",
            )
        text = shipped(f"launchd/{self._label}.plist").decode()
        words = "".join(f"\t\t<string>{_escaped(word)}</string>\n" for word in wanted.program)
        text = re.sub(r"\t\t<string>/[^<]*backupd</string>\n", lambda _: words, text, count=1)
        return {self._path: text.replace("</dict>\n</plist>", f"{_variables(wanted)}</dict>\n</plist>").encode()}

    def socket_group(self, files: Mapping[str, bytes]) -> str | None:
        """The daemon binds its socket itself."""
        return None

    def standing(self) -> Standing:
        """How the service stands now."""
        is_enabled = os.path.exists(self._path)
        if self._scope.root:
            return Standing(is_enabled, "stopped", listens=False)
        answer = ask(["launchctl", "print", self._service])
        pid = re.search(r"^\s*pid = (\d+)$", answer.out, re.MULTILINE)
        program = re.search(r"^\s*program = (.*)$", answer.out, re.MULTILINE)
        return Standing(
            is_enabled and answer.code == 0,
            "running" if pid else "stopped",
            listens=False,
            pid=int(pid[1]) if pid else None,
            program=program[1] if program else "",
        )

    def group(self, name: str) -> list[list[str]]:
        """Never asked for: see `socket_group`."""
        return []

    def load(self) -> list[list[str]]:
        """What has launchd take the file on, anew where it knew it; it starts the service with it."""
        return [] if self._scope.root else self.restart()

    def unload(self) -> list[list[str]]:
        """What stops the service, its jobs at their checkpoints."""
        return [] if self._scope.root else self.stop()

    def forget(self) -> list[list[str]]:
        """Nothing more: it forgets with `unload`."""
        return []

    def start(self) -> list[list[str]]:
        """What starts the service."""
        return [["launchctl", "kickstart", self._service]] if self._is_loaded() else [self._bootstrap()]

    def stop(self) -> list[list[str]]:
        """What stops it until the next start of the machine; what launchd does not know it refuses to let go."""
        return [["launchctl", "bootout", self._service]] if self._is_loaded() else []

    def restart(self) -> list[list[str]]:
        """What stops it, its jobs at their checkpoints, and starts it; `kickstart -k` would kill it."""
        return [*self.stop(), self._bootstrap()]

    def _bootstrap(self) -> list[str]:
        return ["launchctl", "bootstrap", self._domain, self._path]

    def _is_loaded(self) -> bool:
        """Whether launchd knows the service, running or not."""
        return ask(["launchctl", "print", self._service]).code == 0


def _variables(wanted: Wanted) -> str:
    pairs = [
        f"\t\t<key>{_escaped(name)}</key>\n\t\t<string>{_escaped(value)}</string>\n"
        for name, value in sorted(wanted.variables.items())
    ]
    return f"\t<key>EnvironmentVariables</key>\n\t<dict>\n{''.join(pairs)}\t</dict>\n" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
