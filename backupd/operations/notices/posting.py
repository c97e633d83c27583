"""One HTTP request of a notice: TLS verified, no redirect followed, the answer bounded."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from backupd.destination.proxy import dial
from backupd.destination.tls import certificate_error, verifying_context
from backupd.errors import BackupError
from backupd.model.notice_orders import Letter, NoticeOrder
from backupd.model.store_access import Proxy
from backupd.operations.context import JobContext
from backupd.operations.notices.telling import Verdict, cut_when_cancelled, tell
from backupd.rules.notice_rules import shown
from backupd.rules.retry_after import asked_seconds

_SECONDS = 30.0
_MOST_ANSWER = 64 << 10
_MOST_SHOWN = 120


class Request(NamedTuple):
    """What is sent."""

    url: str
    body: bytes
    headers: Mapping[str, str]


class Posted(NamedTuple):
    """What came of a request."""

    verdict: Verdict
    detail: str
    retry_after_seconds: float | None = None
    is_for_all: bool = False
    """Whether nothing else is to be tried there now, either: it is down, or wants to be left alone."""


def post_all(
    order: NoticeOrder, request: Callable[[Letter], Request], context: JobContext, *, in_order: bool = False
) -> None:
    """Send each letter by a request of its own, in their order, and tell what became of it.

    Of a server that is down nobody asks twenty times: the others wait with the same reason. in_order: they do so
    behind whatever is to be tried again, and overtake nothing.
    """
    for number, letter in enumerate(order.letters):
        context.cancel.check()
        posted = post(*request(letter), context, order.proxy)
        is_last = posted.is_for_all or (in_order and posted.verdict == "later")
        for one in order.letters[number:] if is_last else [letter]:
            wait, is_down = posted.retry_after_seconds, posted.is_for_all
            tell(context, one, posted.verdict, posted.detail, wait, is_down=is_down)
        if is_last:
            return


def post(
    url: str, body: bytes, headers: Mapping[str, str], context: JobContext, proxy: Proxy | None = None
) -> Posted:
    """POST to an address; nothing of it but the host stands in what is told."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=verifying_context(None))
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
    # What a connection of the library is made with.
    connection._create_connection = (  # type: ignore[attr-defined]
        lambda address, timeout, *_: dial(address[0], address[1], proxy, timeout)
    )
    shown_host = f"{host}:{parts.port}" if parts.port else host
    try:
        with cut_when_cancelled(context) as line:
            connection.connect()
            line.socket = connection.sock
            connection.request("POST", target, body, {"User-Agent": "backupd", "Connection": "close", **headers})
            answer = connection.getresponse()
            said = answer.read(_MOST_ANSWER)
    except ssl.SSLCertVerificationError as error:
        told = certificate_error(error, shown_host)
        return Posted("later", f"{told.message}; {told.hint}", is_for_all=True)
    except BackupError as error:
        return Posted("later", f"{shown_host}: {error.message}", is_for_all=True)
    except (OSError, http.client.HTTPException) as error:
        return Posted("later", f"{shown_host}: {_reason(error)}", is_for_all=True)
    finally:
        connection.close()
    return _judged(shown_host, answer, said, context.now)


def _judged(host: str, answer: http.client.HTTPResponse, said: bytes, now: datetime) -> Posted:
    status = answer.status
    if 200 <= status < 300:
        return Posted("sent", f"{host} took it ({status})")
    text = shown(said.decode(errors="replace"), _MOST_SHOWN)
    reason = f"{host} answered {status}" + f": {text}" * bool(text)
    if 300 <= status < 400:
        return Posted("refused", f"{host} answered {status}: it is elsewhere now; redirects are not followed")
    if status in (408, 425, 429) or status >= 500:
        wait = asked_seconds(answer.getheader("Retry-After"), now)
        return Posted("later", reason, wait, is_for_all=wait is not None or status == 429)
    return Posted("refused", reason)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {int(_SECONDS)} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason given'}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "its answer is not understood" if not isinstance(error, http.client.RemoteDisconnected) else "it hung up"
