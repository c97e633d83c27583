"""What rclone says went wrong, as errors of ours: it passes on the words of some seventy kinds of stores."""

from __future__ import annotations

import re

from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectMissingError,
    PlaceOccupiedError,
)
from backupd.store_errors import (
    CertificateError,
    HostKeyChangedError,
    HostKeyUnknownError,
    NameTooLongError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClockError,
    StoreFolderError,
    StoreLoginError,
)

_MOST_CHARACTERS = 400
_MOST_MATCHED = 16_384
"""Of what is looked through: the reason stands behind a name that may be long."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_QUERY = re.compile(r"(https?://[^\s\"'?]*)\?[^\s\"']*")
_PAUSE = re.compile(r"(?:retry|trying|try) again (?:after|in) (\d{1,5})|retry[- ]after[:= ]+\"?(\d{1,5})")
_HARMLESS = frozenset(
    {"type", "provider", "region", "endpoint", "url", "host", "port", "remote", "user", "scope", "vendor"}
)
_LEAST_SECRET = 6

_IS_UP = "is the net there, and the server up? `rclone lsd REMOTE:` tells more"
_RULES: tuple[tuple[str, type[BackupError], str], ...] = (
    (
        # First: a login that needs the net fails in words of both kinds.
        r"dial tcp|no such host|connection (refused|reset)|network is unreachable|no route to host",
        DestinationUnreachableError,
        _IS_UP,
    ),
    (
        r"unable to decrypt configuration",
        StoreLoginError,
        "rclone's configuration is encrypted: set RCLONE_CONFIG_PASS to its password where this program starts",
    ),
    (
        r"requesttimetooskewed|request time.{1,40}too large|requestexpired",
        StoreClockError,
        "set this machine's clock",
    ),
    (
        r"key mismatch",
        HostKeyChangedError,
        "ask who runs the server; if the key did change, mend the file that known_hosts_file of the remote names",
    ),
    (r"knownhosts: key is unknown", HostKeyUnknownError, "put the server's key into the remote's known_hosts_file"),
    (
        r"x509:|certificate",
        CertificateError,
        "have the server's certificate mended, or name who vouches for it by --ca-file",
    ),
    (
        r"storagequotaexceeded|quotaexceeded\b|quotalimitreached|insufficient_?(space|storage)|no space left"
        r"|not enough (free )?space|disk quota|storage_?cap_?exceeded|storage full|\b507\b",
        DestinationFullError,
        "make space there; what is stored stays, and the next run goes on from it",
    ),
    (
        r"\b429\b|too[_ ]?many[_ ]?requests|slow_?down|rate_?limit|\b503\b|serviceunavailable|server ?busy|throttl"
        r"|requestlimitexceeded",
        StoreBusyError,
        "the store asks for pauses; an own client id (Google Drive) or fewer parallel runs help",
    ),
    (
        r"invalid_grant|invalid_client|couldn't fetch token|empty token|token (has |is )?(expired|revoked)"
        r"|expired_?token|expired_auth|bad_auth_token|invalidaccesskeyid|signaturedoesnotmatch|invalidclienttokenid|nocredentialprovider"
        r"|no valid credential|authenticationfailed|unable to authenticate|no supported methods remain|530 |\b401\b"
        r"|unauthori[sz]ed|password not set|invalid.?credential|wrong password|logon failure|failed to get credentials"
        r"|failed when making oauth client|failed to (create oauth|refresh)|login (incorrect|failed)",
        StoreLoginError,
        "`rclone config reconnect REMOTE:` logs in anew, `rclone config` mends the remote; see `rclone lsd REMOTE:`",
    ),
    (
        r"didn't find section in config file",
        StoreFolderError,
        "`rclone config` makes a remote",
    ),
    (
        r"nosuchbucket|bucket.{0,40}does not exist|containernotfound|no such container",
        StoreFolderError,
        "make the bucket first, as by `rclone mkdir REMOTE:BUCKET`",
    ),
    (
        r"file ?name too long|key ?too ?long|name is too long|path too long|name too long",
        NameTooLongError,
        "choose a shorter path for the place; names in a crypt remote grow by half",
    ),
    (r"read-only file system|readonly|read.only", ReadOnlyStoreError, "choose a remote that may be written to"),
    (
        r"permission denied|access ?denied|\b403\b|forbidden|insufficientpermission|insufficient permission",
        DestinationRefusedError,
        "the login may not do this: give it the rights that docs/stores/rclone.md lists; 403 may also be a wrong login",
    ),
    (
        r"is a file not a directory|not a directory",
        PlaceOccupiedError,
        "name a folder to keep backups in; a bucket behind an alias also says so when its login is wrong",
    ),
    (r"(object|file|directory) not found", ObjectMissingError, ""),
    (
        r"i/o timeout|\beof\b|broken pipe|context (deadline exceeded|canceled)|tls handshake|timed? ?out"
        r"|statuscode: 0,",
        DestinationUnreachableError,
        _IS_UP,
    ),
)
_COMPILED = tuple((re.compile(pattern), error_class, hint) for pattern, error_class, hint in _RULES)


def translated(shown: str, remote: str, text: str, secrets: tuple[str, ...] = ()) -> BackupError:
    """The error for what rclone said about a place; `secrets` do not appear in it."""
    lower, words = cleaned(text, secrets, _MOST_MATCHED).lower(), cleaned(text, secrets)
    for pattern, error_class, hint in _COMPILED:
        if pattern.search(lower):
            pause = _PAUSE.search(lower) if error_class is StoreBusyError else None
            context = {"retry_after_seconds": float(pause[1] or pause[2])} if pause else {}
            return error_class(f"{shown}: {words}", hint=hint.replace("REMOTE", remote), context=context)
    return DestinationError(f"{shown}: {words}", hint=f"`rclone lsd {remote}:` tells more")


def cleaned(text: str, secrets: tuple[str, ...] = (), most: int = _MOST_CHARACTERS) -> str:
    """One short line without secrets, and without the query of an address, which may hold a token."""
    text = text[:_MOST_MATCHED]
    for secret in secrets:
        text = text.replace(secret, "***")
    return _CONTROL.sub(" ", _QUERY.sub(r"\1", text)).strip()[:most]


def secrets_of(configuration: bytes | None) -> tuple[str, ...]:
    """What may not be shown of an rclone.conf, longest first: every value but those that only say where."""
    found: set[str] = set()
    for line in (configuration or b"").decode(errors="replace").splitlines():
        name, mark, value = (part.strip() for part in line.partition("="))
        if mark and name.lower() not in _HARMLESS:
            found.add(value)
            found.update(re.findall(r'"((?:[^"\\]|\\.)*)"', value))
    return tuple(sorted((one for one in found if len(one) >= _LEAST_SECRET), key=len, reverse=True))
