"""Which remote a place names, and what its rclone configuration says about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from backupd.errors import UsageError
from backupd.model.places import PlaceUrl
from backupd.store_errors import PlaintextError

_REMOTE = re.compile(r"[\w.+@-][\w.+@ -]*", re.ASCII)
_FOLLOWED = 8
_KEEP_BUCKETS = {
    "s3": "no_head=true,no_check_bucket",
    "google cloud storage": "no_check_bucket",
    "azureblob": "no_check_container",
    "oracleobjectstorage": "no_check_bucket",
}
"""Types whose writes make a bucket that is not there: a lost one must be told, not replaced by an empty one."""
_BUCKET_TYPES = frozenset({*_KEEP_BUCKETS, "b2", "swift", "qingstor", "storj"})


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

    def file_system(self, kind: str) -> str:
        """The remote as rclone takes it, for the type that its configuration tells; without the path."""
        option = _KEEP_BUCKETS.get(kind)
        return f"{self.name},{option}=true:" if option else f"{self.name}:"


def checked_kind(remote: Remote, ask: Callable[[str], dict[str, Any]], shown: str, *, allow_plaintext: bool) -> str:
    """The remote's type, empty where rclone doesn't tell.

    ask: gives the configuration of a remote. Raises PlaintextError for a remote, or one that it stands upon, whose
    configuration says FTP without TLS or `http://`; UsageError for a place without its bucket.
    """
    configuration = ask(remote.name)
    kind = str(configuration.get("type", ""))
    if kind in _BUCKET_TYPES and not remote.path.strip("/"):
        raise UsageError(f"{shown} names no bucket", hint=f"write rclone:{remote.name}:BUCKET/PATH")
    name, seen = remote.name, 0
    while not allow_plaintext and seen < _FOLLOWED:
        if _is_plain(configuration):
            raise PlaintextError(
                f"{shown}: the remote {name} does not encrypt what it sends",
                hint="set tls or https:// in its configuration, or give --allow-plaintext",
            )
        name, mark, _ = str(configuration.get("remote", "")).partition(":")
        if not mark or not _REMOTE.fullmatch(name):
            break
        configuration, seen = ask(name), seen + 1
    return kind


def _is_plain(configuration: dict[str, Any]) -> bool:
    if configuration.get("type") == "ftp":
        return not any(str(configuration.get(name)).lower() == "true" for name in ("tls", "explicit_tls"))
    return any(str(value).lower().startswith("http://") for value in configuration.values())
