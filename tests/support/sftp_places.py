"""SFTP places of the tests' own servers, opened as the product opens them."""

from __future__ import annotations

from pathlib import Path

from backupd.destination.contract import Opening
from backupd.destination.sftp.ssh_connection import SftpLimits
from backupd.destination.sftp.store import SftpStore
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from tests.support.servers.rclone_sftp import PASSWORD, USER, RcloneSftp
from tests.support.servers.sshd import Sshd, fingerprint

QUICK = SftpLimits(connect_seconds=1.0, silence_seconds=0.7)
"""For servers that are expected to say nothing."""


def open_sftp_at(
    server: Sshd,
    path: Path | str,
    tag: str = "t",
    access: StoreAccess | None = None,
    *,
    user: str = "",
    create: bool = True,
    limits: SftpLimits | None = None,
) -> SftpStore:
    """A place at OpenSSH; access: else the right key and fingerprint."""
    place = f"sftp://{user or server.user}@127.0.0.1:{server.port}{path}"
    return SftpStore(PlaceUrl.parse(place), Opening(place, tag, access or right_access(server), create), limits)


def right_access(server: Sshd) -> StoreAccess:
    """What the server takes, and what it is known by."""
    return StoreAccess(credentials=server.login_key.read_bytes(), host_key=fingerprint(server.host_key))


def open_sftp_at_other(server: RcloneSftp, path: str, tag: str = "t", credentials: str = PASSWORD) -> SftpStore:
    """A place at rclone's server."""
    place = f"sftp://{USER}@127.0.0.1:{server.port}{path}"
    access = StoreAccess(credentials=credentials.encode(), host_key=server.fingerprint)
    return SftpStore(PlaceUrl.parse(place), Opening(place, tag, access, create=True))
