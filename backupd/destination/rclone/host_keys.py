"""The SSH host keys of SFTP remotes: rclone checks none unless it is told which file holds them."""

from __future__ import annotations

import os

from backupd.destination.rclone.layers import Layer
from backupd.destination.sftp.ssh_host_keys import MAX_BYTES, vouched
from backupd.errors import UsageError
from backupd.model.store_access import StoreAccess
from backupd.store_errors import HostKeyUnknownError

_SSH_PORT = 22
_ALGORITHMS = {"ssh-rsa": "rsa-sha2-512 rsa-sha2-256"}


def host_key_options(found: list[Layer], access: StoreAccess, shown: str) -> dict[str, str]:
    """Options with which the first layer has its server's key checked; empty where it does so, or is no SFTP.

    Raises HostKeyUnknownError where nothing vouches for the key, or one that it stands upon checks none.
    """
    for layer in found[1:]:
        if _is_unchecked(layer):
            raise HostKeyUnknownError(
                f"{shown}: the remote {layer.name} does not check its server's SSH key",
                hint="add known_hosts_file = ~/.ssh/known_hosts to its section of rclone's configuration",
            )
    first = found[0]
    if not _is_unchecked(first):
        return {}
    path = os.path.abspath(access.known_hosts or os.path.expanduser("~/.ssh/known_hosts"))
    host, port = str(first.options.get("host", "")), str(first.options.get("port") or _SSH_PORT)
    keys = vouched(host, int(port) if port.isdecimal() else _SSH_PORT, None, _text(path, access)).keys
    if not keys:
        raise HostKeyUnknownError(
            f"{shown}: {path} has no key of the server of the remote {first.name}",
            hint=f"compare its key with what who runs the server says, as by `ssh -p {port} {host}`, which then keeps "
            "it; or name another file by known_hosts_file in the remote's section",
        )
    if "]" in path:
        raise UsageError(f"{path}: rclone can't be told of a path with ']'", hint="move the file")
    options = {"known_hosts_file": path}
    if not first.options.get("host_key_algorithms"):
        # Else rclone asks for a key of another kind than the known one, and takes it for a changed one.
        kinds = dict.fromkeys(key.kind for key in keys)
        options["host_key_algorithms"] = " ".join(_ALGORITHMS.get(kind, kind) for kind in kinds)
    return options


def _is_unchecked(layer: Layer) -> bool:
    """With `ssh` another program connects, which looks at the key itself."""
    return layer.kind == "sftp" and not layer.options.get("known_hosts_file") and not layer.options.get("ssh")


def _text(path: str, access: StoreAccess) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        if access.known_hosts is None:
            return b""
        message = f"{path}: {os.strerror(error.errno or 0)}"
        raise UsageError(message, hint="name a file that ssh-keyscan or ssh has written") from error
