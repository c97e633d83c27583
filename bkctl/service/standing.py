"""How the service stands: by its files, by its manager, and by what answers at its socket."""

from __future__ import annotations

from dataclasses import dataclass, field

from backupd import __version__
from backupd.errors import BackupError, ConflictError, DaemonUnreachableError, NotFoundError
from backupd.model.api import Overview
from bkctl.daemon_client import DaemonClient
from bkctl.service.files import differences
from bkctl.service.installing import PROGRAM, manager_of, variables_of
from bkctl.service.manager import Standing, Wanted
from bkctl.service.scope import Scope


@dataclass(slots=True)
class Stands:
    """What `daemon status` tells."""

    scope: Scope
    socket: str
    manager: str | None
    """None: none runs here."""
    is_installed: bool = False
    outdated: list[str] = field(default_factory=list)
    """Files that an installation would write otherwise."""
    standing: Standing | None = None
    overview: Overview | None = None
    error: BackupError | None = None
    """Why it does not answer."""
    next: list[str] = field(default_factory=list)


def stands(scope: Scope, client: DaemonClient) -> Stands:
    """How it stands. A service that is stopped is not asked: that would start it."""
    manager = manager_of(scope)
    found = Stands(scope, client.path, manager.name)
    files = manager.installed()
    found.is_installed = bool(files)
    no_manager = ""
    try:
        manager.require()
    except NotFoundError as error:
        found.manager = None
        no_manager = error.hint
    if found.is_installed:
        try:
            wanted = manager.wanted(Wanted(program=PROGRAM, variables=variables_of(scope)))
        except ConflictError as error:
            found.next = [error.hint]
            wanted = files
        found.outdated = sorted(differences(files, wanted))
    if found.manager is not None and found.is_installed:
        found.standing = manager.standing()
    is_asleep = found.standing is not None and found.standing.listens and found.standing.activity == "stopped"
    if is_asleep and client.path == scope.socket:
        found.error = DaemonUnreachableError("backupd is stopped, and starts when it is asked something")
    else:
        try:
            found.overview = client.get("/v1/daemon", Overview)
        except BackupError as error:
            found.error = error
    found.next = found.next or _next(found, no_manager)
    return found


def _next(found: Stands, no_manager: str) -> list[str]:
    """What to do, the most urgent first."""
    option, standing = found.scope.option, found.standing
    if found.manager is None:
        return [] if found.overview else [no_manager]
    if not found.is_installed:
        by_hand = "; end the one that runs by hand before" if found.overview else ""
        return [f"have it start at boot: bkctl daemon install {option} --start{by_hand}"]
    wanted = []
    if standing is not None and standing.activity == "failed":
        whose = "" if found.scope.is_system else "--user "
        wanted.append(f"see why it failed: journalctl {whose}-e -u backupd; then: bkctl daemon start {option}")
    elif found.overview is None:
        wanted.append(f"start it: bkctl daemon start {option}")
    if found.outdated or (standing is not None and not standing.is_enabled):
        wanted.append(f"bring it up to date: bkctl daemon install {option} --start")
    elif found.overview is not None and found.overview.version != __version__:
        wanted.append(f"bkctl is {__version__}: bkctl daemon restart {option}")
    return wanted
