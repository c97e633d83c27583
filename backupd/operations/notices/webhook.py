"""Webhooks: the content as JSON, signed over time and body."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from backupd import __version__
from backupd.model.notice_orders import Letter, NoticeOrder
from backupd.model.notices import NoticeContent
from backupd.operations.context import JobContext
from backupd.operations.notices.posting import Request, post_all

SIGNATURE = "X-Backupd-Signature"


def send(order: NoticeOrder, context: JobContext) -> None:
    """Send each letter by a request of its own."""
    url = order.url.decode()

    def request(letter: Letter) -> Request:
        body = body_of(letter.content)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"backupd/{__version__}",
            "X-Backupd-Event": letter.content.event,
            "X-Backupd-Id": letter.content.id,
        }
        if order.secret is not None:
            headers[SIGNATURE] = signature(order.secret, body, context.clock.now_ns() // 10**9)
        return Request(url, body, headers)

    post_all(order, request, context)


def body_of(content: NoticeContent) -> bytes:
    """The JSON text; docs/notices.md describes it."""
    return msgspec.json.encode(content)


def signature(secret: bytes, body: bytes, seconds: int) -> str:
    """Of a body sent at a time in seconds since 1970: HMAC-SHA256 over `SECONDS.BODY`."""
    digest = hmac.new(secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
