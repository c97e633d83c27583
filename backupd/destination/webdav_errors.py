"""What a WebDAV server's answers mean to the user."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from backupd.clock import SystemClock, to_datetime
from backupd.destination.connection_errors import AGAIN_HINT
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectMissingError,
)
from backupd.store_errors import (
    NameTooLongError,
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreBusyError,
    StoreLoginError,
)

_LONGEST_PAUSE_SECONDS = 3600.0
_WRITING = ("PUT", "MKCOL", "MOVE")


def answer_error(shown: str, method: str, status: int, reason: str, retry_after: str | None) -> DestinationError:
    """By the status. reason: fit to be shown."""
    text = f"{shown}: the server answers {method} with {status} {reason}".rstrip()
    match status:
        case 401 | 407:
            return StoreLoginError(text, hint="look at user and password in the file that --credentials-file names")
        case 404 | 410:
            return ObjectMissingError(text, hint="was something removed there?")
        case 403:
            return DestinationRefusedError(text, hint="look at the rights of the user in that folder")
        case 405 | 501 if method in _WRITING:
            return ReadOnlyStoreError(text, hint="does the address point at a folder of WebDAV that may be written?")
        case 413:
            return DestinationRefusedError(
                text,
                hint="let the server take bodies of 64 MiB (nginx: client_max_body_size, Apache: LimitRequestBody)",
            )
        case 414:
            return NameTooLongError(text, hint="choose a shorter path for the place")
        case 507:
            return DestinationFullError(
                text, hint="make space or raise the quota; what is stored stays, and the next run goes on from it"
            )
        case 423 | 429 | 503:
            seconds = _seconds(retry_after)
            context = {} if seconds is None else {"retry_after_seconds": seconds}
            return StoreBusyError(text, hint="the server asks to come again later", context=context)
        case 408 | 502 | 504:
            return DestinationUnreachableError(text, hint=AGAIN_HINT)
    if status >= 500:
        return DestinationError(text, hint="look into the server's log")
    if 300 <= status < 400:
        return StoreAnswerError(text, hint="the server sends elsewhere: write the address that it means")
    if 400 <= status < 500:
        return DestinationRefusedError(text, hint="look into the server's log")
    return StoreAnswerError(text, hint="is it a WebDAV server?")


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header: seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return min(float(retry_after.strip()[:9]), _LONGEST_PAUSE_SECONDS)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    left = (at.replace(tzinfo=at.tzinfo or UTC) - to_datetime(SystemClock().now_ns())).total_seconds()
    return min(max(left, 0.0), _LONGEST_PAUSE_SECONDS)
