"""The address of an S3 store and its options, checked before anything is connected."""

from __future__ import annotations

import re
import ssl
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from backupd.destination.contract import LockRule
from backupd.destination.logins import parse_login
from backupd.errors import UsageError
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from backupd.store_errors import PlaintextError

KNOWN = (
    "endpoint",
    "region",
    "style",
    "profile",
    "storage_class",
    "sse",
    "sse_key",
    "checksum",
    "lock",
    "lock_days",
)
_LOGIN = ("access_key_id", "secret_access_key", "session_token", "region")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_WORD = re.compile(r"[A-Za-z0-9_.:/@+=,-]{1,512}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_CHOICES = {
    "style": ("path", "virtual"),
    "sse": ("AES256", "aws:kms"),
    "checksum": ("when_required", "when_supported"),
    "lock": ("governance", "compliance"),
}
_MOST_LOCK_DAYS = 36_500
"""S3's own limit."""


class S3Options(msgspec.Struct, frozen=True):
    """What an address says."""

    bucket: str
    prefix: str
    """Empty, or what all keys begin with, ending in `/`."""
    endpoint: str | None
    region: str | None
    profile: str | None
    style: str
    checksum: str
    storage_class: str | None
    sse: str | None
    sse_key: str | None
    lock: LockRule | None = None

    @classmethod
    def parse(cls, url: PlaceUrl) -> Self:
        """Raises UsageError."""
        url.check_options(*KNOWN)
        if url.user or url.port is not None:
            hint = "s3://BUCKET/PREFIX?endpoint=https://HOST:PORT; the access key stands in the credentials file"
            raise UsageError("an s3:// address has neither user nor port", hint=hint)
        if not _BUCKET.fullmatch(url.host):
            raise UsageError(f"'{url.host}' is no name of a bucket", hint="3 to 255 letters, digits, '-', '.' and '_'")
        prefix = url.path.strip("/")
        if _UNPRINTABLE.search(prefix) or (prefix and not all(part.strip(".") for part in prefix.split("/"))):
            raise UsageError("the prefix has an empty, '.' or '..' part, or odd characters", hint="write it plainly")
        for name, value in url.options.items():
            if name in _CHOICES and value not in _CHOICES[name]:
                raise UsageError(f"{name}= does not take that value", hint=f"it takes {' or '.join(_CHOICES[name])}")
            if name != "endpoint" and not _WORD.fullmatch(value):
                raise UsageError(f"{name}= is empty, or holds what can't be", hint="see docs/stores/s3.md")
        chosen = url.options.get
        if chosen("sse_key") and chosen("sse") != "aws:kms":
            raise UsageError("sse_key= goes with sse=aws:kms alone", hint="add sse=aws:kms")
        endpoint = chosen("endpoint")
        if endpoint is not None:
            _check_endpoint(endpoint)
        return cls(
            bucket=url.host,
            prefix=prefix + "/" if prefix else "",
            endpoint=endpoint,
            region=chosen("region"),
            profile=chosen("profile"),
            # Servers of one's own seldom have a host name for each bucket.
            style=chosen("style") or ("path" if endpoint else "auto"),
            checksum=chosen("checksum") or "when_required",
            storage_class=chosen("storage_class"),
            sse=chosen("sse"),
            sse_key=chosen("sse_key"),
            lock=_lock_rule(chosen("lock"), chosen("lock_days")),
        )

    def put_words(self, *, is_block: bool) -> dict[str, Any]:
        """What goes with each object. The storage class is for blocks: all else is small, and read or replaced soon."""
        words: dict[str, Any] = {}
        if self.storage_class and is_block:
            words["StorageClass"] = self.storage_class
        if self.sse:
            words["ServerSideEncryption"] = self.sse
        if self.sse_key:
            words["SSEKMSKeyId"] = self.sse_key
        return words


def _lock_rule(mode: str | None, days: str | None) -> LockRule | None:
    if mode is None and days is None:
        return None
    hint = "as lock=governance&lock_days=30"
    if mode is None or days is None:
        raise UsageError("lock= and lock_days= go together", hint=hint)
    is_number = days.isascii() and days.isdecimal() and len(days) <= len(str(_MOST_LOCK_DAYS))
    if not is_number or not 1 <= int(days) <= _MOST_LOCK_DAYS:
        raise UsageError(f"lock_days= takes 1 to {_MOST_LOCK_DAYS}", hint=hint)
    return LockRule("compliance" if mode == "compliance" else "governance", int(days))


def login_of(access: StoreAccess) -> dict[str, str]:
    """The login that was given, by the names of boto3's arguments; empty: boto3 looks for one. Raises UsageError."""
    if access.credentials is None:
        return {}
    found = parse_login(access.credentials, _LOGIN)
    if "access_key_id" not in found or "secret_access_key" not in found:
        hint = "two lines: access_key_id = … and secret_access_key = …"
        raise UsageError("the credentials lack access_key_id or secret_access_key", hint=hint)
    return {"region_name" if name == "region" else f"aws_{name}": value for name, value in found.items()}


def check_ca_file(path: str | None) -> str | None:
    """The same path, of certificates that can be read. Raises UsageError."""
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{path} holds no certificates that can be read", hint="give a PEM file") from error
    return path


def check_encrypted(endpoint: str, access: StoreAccess) -> None:
    """Raises PlaintextError where login and objects would cross the net unencrypted and nobody allowed it."""
    if not endpoint.lower().startswith("https://") and not access.allow_plaintext:
        raise PlaintextError(
            "the endpoint is not https://: signatures and objects would cross the net unencrypted",
            hint="use https://, or --allow-plaintext in a net that you trust",
        )


def _check_endpoint(endpoint: str) -> None:
    hint = "write it as endpoint=https://HOST:PORT"
    try:
        parts = urlsplit(endpoint)
        is_whole = bool(parts.hostname) and parts.port != 0 and parts.scheme.lower() in ("http", "https")
    except ValueError as error:
        raise UsageError("endpoint= is no address of a server", hint=hint) from error
    if parts.username is not None or parts.password is not None:
        raise UsageError("endpoint= holds a login", hint="secrets go through --credentials-file")
    if not is_whole or parts.query or parts.fragment or _UNPRINTABLE.search(endpoint) or " " in endpoint:
        raise UsageError("endpoint= is no address of a server", hint=hint)
