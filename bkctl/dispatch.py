"""Who does the work: the daemon that knows the place, or a job process of our own (CLI.md, Without a daemon)."""

from __future__ import annotations

import os
from urllib.parse import quote

from backupd.errors import AccessError, DaemonUnreachableError, UsageError
from backupd.model.any_order import AnyOrder
from backupd.model.api import DestinationList, DestinationView, Overview, Started, StartRestore
from backupd.model.config_orders import ConfigCheckOrder
from backupd.model.destination_orders import ProxyTestOrder
from backupd.model.orders import (
    BackupOrder,
    DecryptOrder,
    InfoOrder,
    KeyOrder,
    ReplicateOrder,
    RestoreOrder,
)
from backupd.model.places import is_place, lies_in
from backupd.model.search_orders import SuggestOrder
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob, DaemonQuestion
from bkctl.job_link import JobLink
from bkctl.job_process import JobProcess
from bkctl.service.scope import SYSTEM_SOCKET, is_installed, own_socket
from bkctl.session import Session


def client_of(session: Session) -> DaemonClient:
    """The daemon that this call means, whether it runs or not. Raises UsageError.

    `--socket`, BACKUPD_SOCKET, else the user's own where one is installed or was ever started, else the machine's.
    """
    if session.has_no_daemon:
        raise DaemonUnreachableError("this needs a daemon, and --no-daemon was given")
    if session.is_user and session.is_system:
        raise UsageError("--user and --system are both given", hint="give one of them")
    given = session.socket_path or session.environment.socket_path
    if given:
        return DaemonClient(os.path.abspath(given), f"start it: backupd --socket {given}")
    if os.geteuid() != 0 and not session.is_system:
        own, has_unit = own_socket(session.environment), is_installed(session.environment)
        if session.is_user or has_unit or os.path.exists(os.path.dirname(own)):
            return DaemonClient(own, "start it: bkctl daemon start --user" if has_unit else "start it: backupd &")
    return DaemonClient(SYSTEM_SOCKET, "start it as root: bkctl daemon start, or backupd & where it is no service")


def place_of(session: Session, word: str) -> str:
    """The directory that a DEST means. Raises DaemonUnreachableError, DestinationNotFoundError for a name."""
    if is_place(word):
        return word
    path = f"/v1/destinations/{quote(word, safe='')}"
    return client_of(session).get(path, DestinationView).text.place


def begin(session: Session, order: AnyOrder) -> JobLink:
    """Begin a job for an order. Raises UsageError, DaemonUnreachableError, the daemon's error."""
    client = daemon_for(session, order)
    if client is None:
        if isinstance(order, KeyOrder) and order.set_name is not None:
            raise UsageError(
                f"no daemon knows {order.place}, so {order.set_name} names nothing there",
                hint="leave SET out: --from says which repository is meant",
            )
        return JobProcess(session.environment.job_command, order)
    if isinstance(order, RestoreOrder):
        started = client.request("POST", "/v1/restores", StartRestore(order=order), Started)
        return DaemonJob(client, started.jobs[0].id)
    return DaemonQuestion(client, order)


def daemon_for(session: Session, order: AnyOrder) -> DaemonClient | None:
    """The daemon, where it is to do it; None: we do it ourselves. Raises DaemonUnreachableError."""
    places = [order.place, order.to] if isinstance(order, ReplicateOrder) else [order.place]
    word = next((place for place in places if not is_place(place)), None)
    is_about_nothing_stored = isinstance(order, InfoOrder) and not order.place
    is_our_own = is_about_nothing_stored or isinstance(order, DecryptOrder | ConfigCheckOrder)
    is_our_own = is_our_own or (isinstance(order, ProxyTestOrder) and order.access.proxy is not None)
    if is_our_own or (session.has_no_daemon and (word is None or isinstance(order, SuggestOrder))):
        return None
    client = client_of(session)
    if isinstance(order, SuggestOrder):
        return client if _is_admin(client) else None
    if word is not None:
        try:
            client.check_version()
        except DaemonUnreachableError as error:
            if word:
                error.hint = f"{error.hint}. For a directory, write ./{word}"
            else:
                error.hint = f"{error.hint}. Or say where the backups are: --from DIRECTORY"
            raise
        return client
    return client if _knows(client, order, places) else None


def _knows(client: DaemonClient, order: AnyOrder, places: list[str]) -> bool:
    """Whether a daemon answers, to us, that knows one of the places; a one-shot it takes from its own kind alone."""
    try:
        if isinstance(order, BackupOrder) and not _is_admin(client):
            return False
        known = client.get("/v1/destinations", DestinationList).destinations
    except (DaemonUnreachableError, AccessError):
        return False
    return any(lies_in(place, one.text.place) for one in known for place in places)


def _is_admin(client: DaemonClient) -> bool:
    """Whether a daemon answers to whom we are root's equal."""
    try:
        return "admin" in client.get("/v1/daemon", Overview).roles
    except (DaemonUnreachableError, AccessError):
        return False
