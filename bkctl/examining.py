"""What `doctor` looks at: the way to the daemon from here, the daemon itself, each of its destinations."""

from __future__ import annotations

from collections.abc import Iterator

from backupd import __version__
from backupd.errors import BackupError, RoleError
from backupd.model.api import API_VERSION, DestinationList, DestinationView, Overview
from backupd.model.destination_orders import DestinationProbeOrder
from backupd.model.events import Failed
from backupd.model.status import Examination, Finding
from backupd.sizes import format_bytes
from backupd.store_errors import ABSENT_CODES
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import ask_daemon

_SLOW_SECONDS = 2.0
_SCARCE_BYTES = 1 << 30
_SCARCE_SHARE = 0.05


def examine(client: DaemonClient) -> Iterator[Finding]:
    """All findings, one after the other; a destination that does not answer takes some seconds."""
    try:
        overview = client.get("/v1/daemon", Overview)
    except BackupError as error:
        yield _wrong("daemon", error)
        return
    yield Finding(check="daemon", verdict="ok", message=f"backupd {overview.version} answers at {overview.socket}")
    yield _of_version(overview)
    yield Finding(check="access", verdict="ok", message=f"you are {', '.join(overview.roles) or 'nobody here'}")
    try:
        yield from client.get("/v1/doctor", Examination).findings
    except RoleError as error:
        yield _wrong("state", error)
        return
    for destination in client.get("/v1/destinations", DestinationList).destinations:
        yield _of_destination(client, destination)


def _of_version(overview: Overview) -> Finding:
    if overview.api != API_VERSION:
        return Finding(
            check="version",
            verdict="wrong",
            message=f"backupd {overview.version} and bkctl {__version__} speak different versions of the API",
            mend="install both of one release",
        )
    if overview.version != __version__:
        return Finding(
            check="version",
            verdict="look",
            message=f"backupd is {overview.version}, bkctl {__version__}",
            mend="restart backupd after an update: systemctl restart backupd",
        )
    return Finding(check="version", verdict="ok", message=f"backupd and bkctl are {__version__}")


def _of_destination(client: DaemonClient, destination: DestinationView) -> Finding:
    text = destination.text
    name = f"destination {text.name}"
    try:
        last = ask_daemon(client, DestinationProbeOrder(place=text.name))
    except BackupError as error:
        return _wrong(name, error)
    if isinstance(last, Failed):
        message, hint = str(last.error.get("message", "")), str(last.error.get("hint", ""))
        if text.absent == "skip" and last.error.get("code") in ABSENT_CODES:
            return Finding(check=name, verdict="ok", message=f"{text.place} is not there now, which its setting allows")
        mend = hint or f"bkctl destination show {text.name}"
        return Finding(check=name, verdict="wrong", message=message, mend=mend)
    found = last.result
    free, total, seconds = found["free_bytes"], found["total_bytes"], found["write_seconds"]
    space = f"{format_bytes(free)} of {format_bytes(total)} free" if total is not None else "space is not told"
    if total is None and free is not None:
        space = f"{format_bytes(free)} free"
    message = f"{text.place}, {space}, written in {seconds * 1000:.0f} ms"
    if not found["exists"]:
        message += ", made by the first run"
    if free is not None and (free < _SCARCE_BYTES or free < (total or 0) * _SCARCE_SHARE):
        return Finding(check=name, verdict="look", message=message, mend="make space there before a run ends with 16")
    if seconds > _SLOW_SECONDS:
        return Finding(check=name, verdict="look", message=message, mend="a store that slow holds runs up; is it well?")
    return Finding(check=name, verdict="ok", message=message)


def _wrong(check: str, error: BackupError) -> Finding:
    return Finding(check=check, verdict="wrong", message=error.message, mend=error.hint or "see backupd's log")
