"""systemd's part: units as shipped, with drop-ins for what differs on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal

from backupd.errors import ConflictError, NotFoundError, UsageError
from bkctl.service.files import read_files
from bkctl.service.manager import Activity, Standing, Wanted
from bkctl.service.programs import ask
from bkctl.service.scope import Scope
from bkctl.service.shipped import drop_ins, shipped

_UNITS = ("backupd.service", "backupd.socket")
_PROPERTIES = "ActiveState,UnitFileState,MainPID,StatusText,NRestarts,ExecStart"
_PROGRAM, _ACCESS = "backupd.service.d/10-program.conf", "backupd.socket.d/10-access.conf"
_HEAD = "# Of `bkctl daemon install`, which writes it anew; own changes belong into another file of this directory.\n\n"
_ACTIVITIES: dict[str, Activity] = {
    "active": "running",
    "activating": "starting",
    "reloading": "reloading",
    "deactivating": "stopping",
    "failed": "failed",
}
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}")


class Systemd:
    """A system's systemd, or a user's."""

    name: Literal["systemd", "launchd"] = "systemd"
    load_starts = False

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._directory = scope.unit_directory()
        self._systemctl = ["systemctl", *([] if scope.is_system else ["--user"])]
        if scope.root:
            self._systemctl.append(f"--root={scope.root}")

    def require(self) -> None:
        """Raises NotFoundError where systemd does not run here."""
        if self._scope.root:
            ask([*self._systemctl, "--version"])
            return
        hint = "run backupd in the foreground, or have another manager do so: backupd; it ends well on SIGTERM"
        try:
            answer = ask([*self._systemctl, "show", "--property=Version", "--value"])
        except NotFoundError as error:
            raise NotFoundError("there is no systemd here", hint=hint) from error
        if answer.code or not answer.out:
            said = (answer.err.splitlines() or ["it says nothing"])[0]
            whose = "" if self._scope.is_system else " of this user"
            raise NotFoundError(f"the systemd{whose} does not answer: {said}", hint=hint)

    def installed(self) -> dict[str, bytes]:
        """The files that an installation made, by their paths."""
        return read_files(self._paths())

    def wanted(self, wanted: Wanted) -> dict[str, bytes]:
        """The files that an installation is to make. Raises UsageError, ConflictError for what was shut off."""
        known = drop_ins()
        for name in (*wanted.added, *wanted.taken):
            if name not in known:
                raise UsageError(f"there is no {name}", hint=f"there is {', '.join(known)}")
        if not self._scope.is_system and (wanted.socket_group or wanted.socket_mode or wanted.added or wanted.taken):
            raise UsageError(
                "--socket-group, --socket-mode, --with and --without are for the machine's service",
                hint="a user's own is reached by that user alone, and has that user's rights",
            )
        for name in _UNITS:
            if os.path.realpath(self._path(name)) == os.devnull:
                hint = f"{' '.join(self._systemctl)} unmask {name}, if it is to run again"
                raise ConflictError(f"{name} is masked: somebody shut it off for good", hint=hint)
        former = self.installed()
        folder = "systemd" if self._scope.is_system else "systemd/user"
        made = {self._path(name): shipped(f"{folder}/{name}") for name in _UNITS}
        made[self._path(_PROGRAM)] = _program(wanted).encode()
        made |= self._access(former, wanted)
        for name in known if self._scope.is_system else []:
            path = self._path(_drop_in(name))
            if name in wanted.added or (path in former and name not in wanted.taken):
                made[path] = shipped(f"systemd/drop-ins/{name}.conf")
        return made

    def _access(self, former: Mapping[str, bytes], wanted: Wanted) -> dict[str, bytes]:
        """What of the socket is not as shipped; what is not given stays as it is."""
        path = self._path(_ACCESS)
        lines = []
        for key, given in (("SocketGroup", wanted.socket_group), ("SocketMode", wanted.socket_mode)):
            value = given or _last_value(former.get(path, b""), key)
            if value is not None and not _NAME.fullmatch(value):
                raise UsageError(f"{value} is no name of a group", hint="letters, digits, . _ -")
            if value is not None and value != _last_value(shipped("systemd/backupd.socket"), key):
                lines.append(f"{key}={value}\n")
        return {path: f"{_HEAD}[Socket]\n{''.join(lines)}".encode()} if lines else {}

    def socket_group(self, files: Mapping[str, bytes]) -> str | None:
        """The group that reaches the socket by these files."""
        for name in (_ACCESS, "backupd.socket"):
            found = _last_value(files.get(self._path(name), b""), "SocketGroup")
            if found is not None:
                return found
        return None

    def standing(self) -> Standing:
        """How the service stands now."""
        if self._scope.root:
            answer = ask([*self._systemctl, "is-enabled", *_UNITS])
            return Standing(answer.out.split() == ["enabled"] * len(_UNITS), "stopped", listens=False)
        answer = ask([*self._systemctl, "show", *_UNITS, f"--property={_PROPERTIES}"])
        found = [_facts(block) for block in answer.out.split("\n\n")]
        facts, socket = found[0], found[-1]
        program = re.search(r"argv\[\]=(.*?) ;", facts.get("ExecStart", ""))
        return Standing(
            all(one.get("UnitFileState") == "enabled" for one in found),
            _ACTIVITIES.get(facts.get("ActiveState", ""), "stopped"),
            listens=socket.get("ActiveState") == "active",
            pid=int(facts.get("MainPID", "0") or 0) or None,
            status=facts.get("StatusText", ""),
            restarts=int(facts.get("NRestarts", "0") or 0),
            program=program[1] if program else "",
        )

    def group(self, name: str) -> list[list[str]]:
        """What makes a group."""
        return [["groupadd", "--system", *(["--prefix", self._scope.root] if self._scope.root else []), name]]

    def load(self) -> list[list[str]]:
        """What has systemd take the files on and start the service at boot."""
        reload = [] if self._scope.root else [[*self._systemctl, "daemon-reload"]]
        return [*reload, [*self._systemctl, "enable", *_UNITS]]

    def unload(self) -> list[list[str]]:
        """What stops the service, its jobs at their checkpoints, and takes it from boot."""
        return [[*self._systemctl, "disable", *([] if self._scope.root else ["--now"]), *_UNITS]]

    def forget(self) -> list[list[str]]:
        """What has systemd see that the files are gone."""
        return [] if self._scope.root else [[*self._systemctl, "daemon-reload"]]

    def start(self) -> list[list[str]]:
        """What starts the service; the socket first, which it then is given."""
        return [[*self._systemctl, "start", "backupd.socket", "backupd.service"]]

    def stop(self) -> list[list[str]]:
        """What stops it; the socket too, or the next command would start it."""
        return [[*self._systemctl, "stop", "backupd.socket", "backupd.service"]]

    def restart(self) -> list[list[str]]:
        """What stops and starts it; the socket too, which may have another group now."""
        return [[*self._systemctl, "restart", "backupd.socket", "backupd.service"]]

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _paths(self) -> list[str]:
        names = [*_UNITS, _PROGRAM, _ACCESS, *(_drop_in(name) for name in drop_ins())]
        return [self._path(name) for name in names]


def _drop_in(name: str) -> str:
    return f"backupd.service.d/20-{name}.conf"


def _program(wanted: Wanted) -> str:
    program, *rest = wanted.program
    words = " ".join([_quoted(program), *(_quoted(word).replace("$", "$$") for word in rest)])
    variables = [f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(wanted.variables.items())]
    return f"{_HEAD}[Service]\nExecStart=\nExecStart={words}\n{''.join(variables)}"


def _quoted(word: str) -> str:
    """A word as systemd.syntax(7) has it, specifiers doubled. Raises UsageError for what no program may be called."""
    if not word.isprintable() or set(word) & set("\"'\\"):
        raise UsageError(f"{word!r} can't stand in a unit", hint="install backupd in a directory with a plain name")
    text = word.replace("%", "%%")
    return text if re.fullmatch(r"[\w./:@=+,%-]+", text) else f'"{text}"'


def _last_value(data: bytes, key: str) -> str | None:
    lines = data.decode(errors="replace").splitlines()
    values = [line.partition("=")[2].strip() for line in lines if line.startswith(f"{key}=")]
    return values[-1] if values else None


def _facts(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}
