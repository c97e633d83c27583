"""What every service manager is asked and told, whichever a system has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Activity = Literal["running", "starting", "reloading", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installation is to be like. None: as it is installed, else as shipped."""

    program: tuple[str, ...]
    """Words that start the daemon."""
    variables: dict[str, str] = field(default_factory=dict)
    """What its environment has beside the manager's."""
    socket_group: str | None = None
    socket_mode: str | None = None
    added: tuple[str, ...] = ()
    """Drop-ins to put in beside those that are in."""
    taken: tuple[str, ...] = ()
    """Drop-ins to take out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the service stands, as its manager says."""

    is_enabled: bool
    """Whether it starts at boot, or when the user's manager starts."""
    activity: Activity
    listens: bool
    """Whether the manager itself listens, and starts the service when somebody comes."""
    pid: int | None = None
    status: str = ""
    """What the daemon last said that it does."""
    restarts: int = 0
    program: str = ""
    """The program that runs, or would."""


class Manager(Protocol):
    """A service manager. All that it is told is given as words, before any of them is run."""

    name: Literal["systemd", "launchd"]
    load_starts: bool
    """Whether `load` starts the service, too, one that runs anew."""

    def require(self) -> None:
        """Raises NotFoundError where the manager does not run here."""
        ...

    def installed(self) -> dict[str, bytes]:
        """The files that an installation made."""
        ...

    def wanted(self, wanted: Wanted) -> dict[str, bytes]:
        """The files that an installation is to make. Raises UsageError for what this manager can't do."""
        ...

    def socket_group(self, files: dict[str, bytes]) -> str | None:
        """The group that reaches the socket by these files; None: the manager binds no socket."""
        ...

    def standing(self) -> Standing:
        """How the service stands now."""
        ...

    def group(self, name: str) -> list[list[str]]:
        """What makes a group."""
        ...

    def load(self) -> list[list[str]]:
        """What has the manager take the files on and start the service at boot."""
        ...

    def unload(self) -> list[list[str]]:
        """What stops the service, its jobs at their checkpoints, and takes it from boot; before the files go."""
        ...

    def forget(self) -> list[list[str]]:
        """What has the manager see that files are gone."""
        ...

    def start(self) -> list[list[str]]:
        """What starts the service."""
        ...

    def stop(self) -> list[list[str]]:
        """What stops the service until the next start of the machine."""
        ...

    def restart(self) -> list[list[str]]:
        """What stops and starts it."""
        ...
