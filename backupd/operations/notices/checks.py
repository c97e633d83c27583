"""Pings of a healthchecks address: start, success, fail, with what happened as their text."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit, urlunsplit

from backupd.model.notice_orders import Letter, NoticeOrder
from backupd.model.notices import HEALTHCHECKS, NoticeContent
from backupd.operations.context import JobContext
from backupd.operations.notices.posting import Request, post_all
from backupd.operations.notices.wording import text_of

_SIGNALS = {
    "start": "/start",
    "failure": "/fail",
    "missed": "/fail",
    "overdue": "/fail",
    "key": "/log",
    "quota": "/log",
    "expiry": "/log",
    "test": "/log",
}
"""What is in none of these went well, if with warnings."""
_MOST_BYTES = 10_000
"""What such a server keeps of a text."""


def send(order: NoticeOrder, context: JobContext) -> None:
    """Ping once a letter; none overtakes another: an old success after a newer failure would say that all is well."""
    base = order.url.decode().removeprefix(HEALTHCHECKS)

    def request(letter: Letter) -> Request:
        body = text_of(letter.content).encode(errors="replace")[:_MOST_BYTES]
        return Request(ping_url(base, letter.content), body, {"Content-Type": "text/plain; charset=utf-8"})

    post_all(order, request, context, in_order=True)


def ping_url(base: str, content: NoticeContent) -> str:
    """Where a ping goes; a job's begin and end carry the same run id, so that runs that overlap are told apart."""
    parts = urlsplit(base)
    query = parts.query
    if content.job is not None:
        query += "&" * bool(query) + f"rid={uuid.UUID(hex=content.job[1:33].ljust(32, '0'))}"
    path = parts.path.rstrip("/") + _SIGNALS.get(content.event, "")
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))
