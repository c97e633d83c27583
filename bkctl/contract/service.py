"""Results of `daemon …`."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.parts import Changed, Count, Shown, Time

ScopeName = Literal["system", "user"]


class ChangedService(Changed, kw_only=True):
    """A service that was installed, started or stopped. `diff`: path of a file -> from, to, its texts."""

    scope: ScopeName
    commands: list[list[str]]
    """That were run, or would be, in order."""


class RemovedService(ChangedService, kw_only=True):
    """A service that was taken away."""

    purged: list[str]
    """Directories that went with all that was in them, or would go."""


class ServiceStatus(Shown, kw_only=True):
    """How the service stands."""

    scope: ScopeName
    manager: Literal["systemd", "launchd"] | None
    """None: none answers here."""
    installed: bool
    outdated: list[str]
    """Files that `daemon install` would write otherwise."""
    enabled: bool | None
    """Whether it starts at boot; this and the next five: as the manager says, null where there is none."""
    activity: Literal["running", "starting", "reloading", "stopping", "stopped", "failed"] | None
    listens: bool | None
    """Whether the manager starts it when somebody asks."""
    restarts: Count | None
    doing: str | None
    """What the daemon last said that it does."""
    program: str | None
    socket: str
    answers: bool
    pid: int | None
    version: str | None
    """Of the daemon that answers; null, as what follows, where none does."""
    started: Time | None
    jobs_running: Count | None
    jobs_queued: Count | None
    next: list[str]
    """What to do, the most urgent first."""
