"""Whose service it is, and where that one has its things."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass

from backupd.errors import AccessError, UsageError
from bkctl.session import Environment, Session

SYSTEM_SOCKET = "/run/backupd/backupd.sock"
_LAUNCH_DAEMON = "/Library/LaunchDaemons/org.backupd.backupd.plist"


@dataclass(frozen=True, slots=True)
class Scope:
    """A machine's service, or a user's."""

    is_system: bool
    environment: Environment
    root: str = ""
    """A directory that holds another system, an image that is built; empty: this one."""

    @property
    def name(self) -> str:
        """As JSON has it."""
        return "system" if self.is_system else "user"

    @property
    def option(self) -> str:
        """What the user gives to mean it."""
        return f"--{self.name}"

    @property
    def socket(self) -> str:
        """Where its daemon listens."""
        return SYSTEM_SOCKET if self.is_system else own_socket(self.environment)

    def unit_directory(self) -> str:
        """Where systemd looks for units of the administrator, or of the user."""
        if self.is_system:
            return f"{self.root}/etc/systemd/system"
        return f"{xdg(self.environment, 'CONFIG', '.config')}/systemd/user"

    def directories(self) -> list[str]:
        """Settings, keys, catalog, logs and caches; the daemon's own, to be removed with all that is in them."""
        if self.is_system:
            return ["/etc/backupd", "/var/lib/backupd"]
        names = (("CONFIG", ".config"), ("DATA", ".local/share"), ("STATE", ".local/state"), ("CACHE", ".cache"))
        return [f"{xdg(self.environment, name, default)}/backupd" for name, default in names]

    def keys(self) -> str:
        """The key directory."""
        if self.is_system:
            return "/var/lib/backupd/keys"
        return f"{xdg(self.environment, 'DATA', '.local/share')}/backupd/keys"


def scope_of(session: Session, root: str = "", *, is_new: bool = False) -> Scope:
    """The scope that a command means: of root the machine's; of others their own where there is one, or a new one.

    root: of the image of another system. Raises UsageError.
    """
    if session.is_user and session.is_system:
        raise UsageError("--user and --system are both given", hint="give one of them")
    is_root = os.geteuid() == 0
    if session.is_user and is_root:
        raise UsageError("root's daemon is the machine's", hint="give --system, or run it as the user")
    if session.is_user and root:
        raise UsageError("--root is for the machine's service", hint="give --system")
    if root and not os.path.isdir(root):
        raise UsageError(f"--root {root} is no directory", hint="name the directory that holds the other system")
    is_system = session.is_system or is_root or bool(root)
    if not is_system and not session.is_user and not is_new and not is_installed(session.environment):
        is_system = os.path.exists("/etc/systemd/system/backupd.service") or os.path.exists(_LAUNCH_DAEMON)
    return Scope(is_system, session.environment, root)


def must_be_root(scope: Scope) -> None:
    """Raises AccessError where the scope is another one's."""
    if scope.is_system and os.geteuid() != 0:
        raise AccessError(
            "the machine's service is root's", hint="run it with sudo, or give --user for a service of your own"
        )


def own_socket(environment: Environment) -> str:
    """Where a user's own daemon listens.

    Without `XDG_RUNTIME_DIR`, as below su, that of a service is where systemd puts it for its user.
    """
    usual = f"/run/user/{os.geteuid()}"
    above = environment.runtime_directory or (usual if is_installed(environment) and os.path.isdir(usual) else "")
    return os.path.join(above or f"{xdg(environment, 'STATE', '.local/state')}/backupd", "backupd", "backupd.sock")


def xdg(environment: Environment, name: str, default: str) -> str:
    """A directory of the XDG base directory specification; a relative one is invalid, and passed over."""
    given = environment.xdg.get(f"XDG_{name}_HOME", "")
    return given if os.path.isabs(given) else os.path.join(os.path.expanduser("~"), default)


def is_installed(environment: Environment) -> bool:
    """Whether this user has a service of his own."""
    scope = Scope(False, environment)
    unit = f"{scope.unit_directory()}/backupd.service"
    return os.path.exists(launch_agent() if sys.platform == "darwin" else unit)


def launch_agent() -> str:
    """The file for launchd of a user's own service."""
    return os.path.expanduser("~/Library/LaunchAgents/org.backupd.agent.plist")


def user_name() -> str:
    """Of who calls."""
    return pwd.getpwuid(os.geteuid()).pw_name


def linger_file() -> str:
    """What is there where systemd keeps this user's services running without a login."""
    return f"/var/lib/systemd/linger/{user_name()}"
