"""What `doctor` says of the service: installed, up to date, started at boot, the only one, of a program of root's."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator

from backupd.errors import BackupError, ConflictError, NotFoundError
from backupd.model.status import Finding
from backupd.sizes import count
from bkctl.daemon_client import DaemonClient
from bkctl.service.files import differences
from bkctl.service.installing import PROGRAM, manager_of, variables_of, warnings_of
from bkctl.service.manager import Manager, Standing, Wanted
from bkctl.service.scope import SYSTEM_SOCKET, Scope, is_installed, linger_file, user_name

_SYSTEM_UNIT = "/etc/systemd/system/backupd.service"


def diagnose(scope: Scope, client: DaemonClient) -> Iterator[Finding]:
    """All findings. Nothing of a daemon that was started by hand at a socket of its own."""
    if client.path == SYSTEM_SOCKET:
        scope = Scope(True, scope.environment)
    elif client.path != scope.socket:
        return
    manager = manager_of(scope)
    try:
        manager.require()
        is_there = bool(manager.installed())
    except NotFoundError as error:
        yield Finding(check="service", verdict="ok", message=f"{error.message}: backupd is started in another way")
        return
    except BackupError as error:
        yield Finding(check="service", verdict="wrong", message=error.message, mend=error.hint or "look at that file")
        return
    install = f"bkctl daemon install {scope.option} --start"
    if not is_there:
        message = "backupd is no service: nothing starts it at boot"
        yield Finding(check="service", verdict="look", message=message, mend=install)
        return
    standing = manager.standing()
    try:
        yield _of_files(scope, manager, install)
    except ConflictError as error:
        yield Finding(check="units", verdict="wrong", message=error.message, mend=error.hint)
    yield _of_boot(standing, install)
    yield _of_run(scope, standing)
    if scope.is_system and manager.name == "systemd":
        yield from _of_reach(manager, client.path)
    elif manager.name == "systemd":
        yield from _of_user(scope)
    yield from (
        Finding(check="program", verdict="wrong", message=one, mend="install backupd in a place that is root's alone")
        for one in warnings_of(scope)
    )


def _of_files(scope: Scope, manager: Manager, install: str) -> Finding:
    wanted = manager.wanted(Wanted(program=PROGRAM, variables=variables_of(scope)))
    changed = differences(manager.installed(), wanted)
    if not changed:
        return Finding(check="units", verdict="ok", message=f"as this version of backupd installs them, {PROGRAM[0]}")
    message = f"not as this installation of backupd ({PROGRAM[0]}) would write them: {', '.join(changed)}"
    return Finding(check="units", verdict="look", message=message, mend=f"{install}; or run the bkctl that they are of")


def _of_boot(standing: Standing, install: str) -> Finding:
    if standing.is_enabled:
        return Finding(check="boot", verdict="ok", message="backupd is started at boot")
    return Finding(check="boot", verdict="wrong", message="backupd is not started at boot", mend=install)


def _of_run(scope: Scope, standing: Standing) -> Finding:
    whose = "" if scope.is_system else "--user "
    if standing.activity == "failed":
        message = f"it failed, restarted {count(standing.restarts, 'time')}"
        mend = f"journalctl {whose}-e -u backupd says why; then: bkctl daemon start {scope.option}"
        return Finding(check="service", verdict="wrong", message=message, mend=mend)
    if standing.activity == "stopped" and not standing.listens:
        mend = f"bkctl daemon start {scope.option}"
        return Finding(check="service", verdict="wrong", message="it is stopped: nothing runs by itself", mend=mend)
    parts = [standing.activity, *([standing.status] if standing.status else [])]
    return Finding(check="service", verdict="ok", message="; ".join(parts))


def _of_reach(manager: Manager, path: str) -> Iterator[Finding]:
    """Whether the socket is for those whom the units name."""
    wanted = manager.socket_group(manager.installed())
    try:
        found = os.stat(path)
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return
    if wanted is not None and group != wanted:
        message = f"{path} is of the group {group}, not of {wanted}, mode {stat.S_IMODE(found.st_mode):04o}"
        mend = "is another backupd running by hand? End it, then: bkctl daemon restart --system"
        yield Finding(check="socket", verdict="look", message=message, mend=mend)


def _of_user(scope: Scope) -> Iterator[Finding]:
    """Whether it goes on after a logout, and is the only one."""
    if os.path.exists(linger_file()):
        yield Finding(check="lingering", verdict="ok", message="it runs while you are logged out, too")
    else:
        message = "it is stopped when you log out, and starts when you log in"
        yield Finding(check="lingering", verdict="look", message=message, mend="loginctl enable-linger")
    if os.path.exists(_SYSTEM_UNIT) and is_installed(scope.environment):
        message = f"the machine's service is installed, too, beside that of {user_name()}"
        mend = "if both back up the same, take one away: bkctl daemon uninstall --user"
        yield Finding(check="second service", verdict="look", message=message, mend=mend)
