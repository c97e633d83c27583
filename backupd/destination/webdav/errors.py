"""What a WebDAV server's answers mean to the user."""

from __future__ import annotations

from backupd.clock import SystemClock, to_datetime
from backupd.destination.connection_errors import AGAIN_HINT
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectMissingError,
)
from backupd.rules.retry_after import asked_seconds
from backupd.store_errors import (
    NameTooLongError,
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreBusyError,
    StoreLoginError,
)

_WRITING = ("PUT", "MKCOL", "MOVE")
_KINDS: dict[int, tuple[type[DestinationError], str]] = {
    401: (StoreLoginError, "look at user and password in the file that --credentials-file names"),
    403: (DestinationRefusedError, "look at the rights of the user in that folder"),
    404: (ObjectMissingError, "was something removed there?"),
    408: (DestinationUnreachableError, AGAIN_HINT),
    413: (
        DestinationRefusedError,
        "let the server take bodies of 64 MiB (nginx: client_max_body_size, Apache: LimitRequestBody)",
    ),
    414: (NameTooLongError, "choose a shorter path for the place"),
    423: (StoreBusyError, "another writer has it; try again"),
    429: (StoreBusyError, "the server asks to come again later"),
    502: (DestinationUnreachableError, AGAIN_HINT),
    503: (StoreBusyError, "the server asks to come again later"),
    504: (DestinationUnreachableError, AGAIN_HINT),
    507: (
        DestinationFullError,
        "make space or raise the quota; what is stored stays, and the next run goes on from it",
    ),
}
_READ_ONLY = (ReadOnlyStoreError, "does the address point at a folder of WebDAV that may be written?")
_BY_HUNDRED: dict[int, tuple[type[DestinationError], str]] = {
    3: (StoreAnswerError, "the server sends elsewhere: write the address that it means"),
    4: (DestinationRefusedError, "look into the server's log"),
    5: (DestinationError, "look into the server's log"),
}
_NO_WEBDAV = (StoreAnswerError, "is it a WebDAV server?")


def answer_error(shown: str, method: str, status: int, reason: str, retry_after: str | None) -> DestinationError:
    """By the status. reason: fit to be shown."""
    kind, hint = _KINDS.get(status) or _BY_HUNDRED.get(status // 100, _NO_WEBDAV)
    if status in (405, 501):
        kind, hint = _READ_ONLY if method in _WRITING else _KINDS[403] if method == "DELETE" else _NO_WEBDAV
    now = to_datetime(SystemClock().now_ns())
    seconds = asked_seconds(retry_after, now) if kind is StoreBusyError else None
    return kind(
        f"{shown}: the server answers {method} with {status} {reason}".rstrip(),
        hint=hint,
        context={} if seconds is None else {"retry_after_seconds": seconds},
    )
