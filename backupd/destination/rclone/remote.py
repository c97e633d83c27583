"""Which remote a place names, and what its rclone configuration says about it."""

from __future__ import annotations

import re

import msgspec

from backupd.destination.rclone.host_keys import host_key_options
from backupd.destination.rclone.layers import Ask, Layer, is_true, layers
from backupd.errors import UsageError
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from backupd.store_errors import PlaintextError

_REMOTE = re.compile(r"[\w.+@-][\w.+@ -]*", re.ASCII)
_KEEP_BUCKETS = {
    "s3": "no_head=true,no_check_bucket",
    "google cloud storage": "no_check_bucket",
    "azureblob": "no_check_container",
    "oracleobjectstorage": "no_check_bucket",
}
"""Types whose writes make a bucket that is not there: a lost one must be told, not replaced by an empty one."""
_BUCKET_TYPES = frozenset({*_KEEP_BUCKETS, "b2", "swift", "qingstor", "storj"})
_WITHOUT_PROXY = frozenset({"sftp", "ftp", "smb", "hdfs"})
"""Types for which rclone does not look at HTTPS_PROXY: the login would go another way than was asked for."""


class Remote(msgspec.Struct, frozen=True):
    """A remote and a path on it, as `rclone:NAME:PATH` gives them."""

    name: str
    path: str

    @classmethod
    def parse(cls, url: PlaceUrl) -> Remote:
        """Take the address apart. Raises UsageError; never for what only rclone can know."""
        url.check_options()
        name, mark, path = url.path.partition(":")
        if not mark:
            raise UsageError(
                f"rclone:{url.path}: has no remote", hint="write rclone:REMOTE:PATH; `rclone listremotes` shows them"
            )
        if not _REMOTE.fullmatch(name):
            # What stands there may be `:s3,secret_access_key=…`: it is not repeated.
            raise UsageError(
                "rclone: takes the name of a configured remote, no connection string",
                hint="`rclone config` makes a remote; secrets go there or into --credentials-file",
            )
        if "]" in path or ".." in path.split("/"):
            raise UsageError(f"rclone:{url.path}: the path holds ']' or '..'", hint="choose another path")
        return cls(name, path.rstrip("/") if path.strip("/") else path[:1])

    def file_system(self, kind: str, options: dict[str, str]) -> str:
        """The remote as rclone takes it, for the type that its configuration tells; without the path."""
        told = [f"{_KEEP_BUCKETS[kind]}=true"] if kind in _KEEP_BUCKETS else []
        for name, value in options.items():
            quoted = value.replace('"', '""')
            told.append(f'{name}="{quoted}"')
        return ",".join([self.name, *told]) + ":"


def checked(remote: Remote, ask: Ask, shown: str, access: StoreAccess) -> str:
    """The remote as rclone takes it, without the path, once it is known to be safe to send a login to.

    Raises PlaintextError for a remote, or one that it stands upon, whose configuration says FTP without TLS, `http://`
    or certificates that nobody checks; HostKeyUnknownError where nobody checks an SSH key; UsageError for a place
    without its bucket.
    """
    found = layers(remote.name, ask)
    kind = found[0].kind
    if kind in _BUCKET_TYPES and not remote.path.strip("/"):
        raise UsageError(f"{shown} names no bucket", hint=f"write rclone:{remote.name}:BUCKET/PATH")
    for layer in found:
        if access.proxy is not None and layer.kind in _WITHOUT_PROXY:
            raise UsageError(
                f"{shown}: the remote {layer.name} speaks {layer.kind}, which rclone sends through no proxy",
                hint="reach it without a proxy (`proxy: direct`), or take sftp:// itself",
            )
        if _is_plain(layer) and not access.allow_plaintext:
            raise PlaintextError(
                f"{shown}: the remote {layer.name} does not encrypt what it sends, or checks no certificate",
                hint="set tls or https:// in its configuration, and no no_check_certificate; or give --allow-plaintext",
            )
    return remote.file_system(kind, host_key_options(found, access, shown))


def _is_plain(layer: Layer) -> bool:
    if any(name.rpartition(".")[2] == "no_check_certificate" and is_true(on) for name, on in layer.options.items()):
        return True
    if layer.kind == "ftp":
        return not any(is_true(layer.options.get(name)) for name in ("tls", "explicit_tls"))
    return any(str(value).lower().startswith("http://") for value in layer.options.values())
