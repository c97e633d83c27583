"""Putting the service in place and taking it away: what it takes is known before, and what fails is taken back."""

from __future__ import annotations

import grp
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from backupd.errors import BackupError, NotFoundError
from bkctl.service.files import bring, differences, others_can_write, take_back
from bkctl.service.launchd import Launchd
from bkctl.service.manager import Manager, Wanted
from bkctl.service.programs import tell
from bkctl.service.scope import Scope, must_be_root
from bkctl.service.systemd import Systemd

PROGRAM = (sys.executable, "-P", "-m", "backupd")


@dataclass(slots=True)
class Change:
    """What was done to a service, or would be."""

    diff: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Files: path -> {from, to}."""
    commands: list[list[str]] = field(default_factory=list)
    """That were run, or would be."""
    warnings: list[str] = field(default_factory=list)

    @property
    def is_one(self) -> bool:
        """Whether there is anything that was not so before."""
        return bool(self.diff or self.commands)


def manager_of(scope: Scope) -> Manager:
    """What this system has."""
    return Launchd(scope) if sys.platform == "darwin" else Systemd(scope)


def variables_of(scope: Scope) -> dict[str, str]:
    """What a user's manager may not know: where that user has settings, keys and state."""
    return {} if scope.is_system else dict(scope.environment.xdg)


def install(scope: Scope, wanted: Wanted, *, start: bool, dry_run: bool) -> Change:
    """Bring the service to what is wanted. Raises BackupError; all files are as before then."""
    must_be_root(scope)
    manager = manager_of(scope)
    manager.require()
    former, files = manager.installed(), manager.wanted(wanted)
    change = Change(differences(former, files), warnings=warnings_of(scope))
    standing = manager.standing()
    groups = _groups(manager, manager.socket_group(files), scope.root)
    change.commands += groups
    is_running = standing.activity in ("running", "reloading", "starting")
    loads = bool(change.diff) or not standing.is_enabled
    if loads:
        change.commands += manager.load()
    if not (loads and manager.load_starts):
        if start and is_running and change.diff:
            change.commands += manager.restart()
        elif start and not (is_running and (standing.listens or manager.name == "launchd")):
            change.commands += manager.start()
        elif is_running and change.diff:
            change.warnings.append(f"it runs as it was before: bkctl daemon restart {scope.option}")
    if dry_run or not change.is_one:
        return change
    _run(groups)
    bring(former, files)
    try:
        _run(change.commands[len(groups) :])
    except BackupError as error:
        if not former:
            # What listens goes on without its file, and starts what is not there.
            with suppress(BackupError):
                _run(manager.unload())
        take_back(former, files)
        with suppress(BackupError):
            _run(manager.forget())
        error.hint = f"{error.hint}; the files are as they were before"
        raise
    return change


def uninstall(scope: Scope, *, dry_run: bool) -> Change:
    """Stop the service, jobs at their checkpoints, and remove its files. Raises NotFoundError, BackupError."""
    must_be_root(scope)
    manager = manager_of(scope)
    former = manager.installed()
    if not former:
        return Change()
    manager.require()
    change = Change(differences(former, {}), [*manager.unload(), *manager.forget()])
    if not dry_run:
        _run(manager.unload())
        bring(former, {})
        _run(manager.forget())
    return change


def must_be_installed(scope: Scope) -> Manager:
    """The manager of an installed service. Raises NotFoundError."""
    manager = manager_of(scope)
    if not manager.installed():
        raise NotFoundError(
            f"there is no service of the {scope.name}", hint=f"bkctl daemon install {scope.option} --start"
        )
    manager.require()
    return manager


def direct(scope: Scope, commands: Sequence[Sequence[str]]) -> None:
    """Run what a manager is to be told. Raises AccessError, BackupError."""
    must_be_root(scope)
    _run(commands)


def _run(commands: Sequence[Sequence[str]]) -> None:
    for words in commands:
        tell(words)


def _groups(manager: Manager, name: str | None, root: str) -> list[list[str]]:
    """What makes the group of the socket where there is none."""
    if name is None:
        return []
    with suppress(OSError), open(f"{root}/etc/group", encoding="utf-8", errors="replace") as file:
        if any(line.partition(":")[0] == name for line in file):
            return []
    return [] if not root and _knows_group(name) else manager.group(name)


def _knows_group(name: str) -> bool:
    """Whether any directory service has the group."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def warnings_of(scope: Scope) -> list[str]:
    """Root would run what somebody else can change, or what is not there."""
    if scope.root and not os.path.exists(scope.root + sys.executable):
        return [f"there is no {sys.executable} below {scope.root}: install backupd there under the same path"]
    if not scope.is_system or scope.root:
        return []
    for path in (sys.executable, os.path.dirname(os.path.abspath(sys.modules["bkctl"].__file__ or "")), sys.prefix):
        open_place = others_can_write(path)
        if open_place is not None:
            return [f"others than root can change {open_place}, and root runs what lies there: install it for root"]
    return []
