"""Sends letters by Apprise, to all that it knows how to reach."""

from __future__ import annotations

import importlib
import logging
import re
from typing import Any

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.notice_orders import AppriseOrder
from backupd.operations.context import JobContext
from backupd.operations.notices.telling import tell
from backupd.operations.notices.wording import text_of
from backupd.rules.notice_rules import shown

_TYPES = {
    "failure": "failure",
    "missed": "failure",
    "overdue": "warning",
    "warning": "warning",
    "key": "warning",
    "quota": "warning",
    "expiry": "warning",
    "success": "success",
}
_MOST_SAID = 200
_MOST_LINES = 20
_TOKEN = re.compile(r"[^\s/:@?&=#,]{4,}")


class _Said(logging.Handler):
    """What Apprise said, for its calls give a yes or no alone."""

    def __init__(self, url: str) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._tokens = sorted(_TOKEN.findall(url.partition("://")[2]), key=len, reverse=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, without what stands in the address."""
        line = record.getMessage()[:2000]
        for token in self._tokens:
            line = line.replace(token, "…")
        self.lines = [*self.lines, shown(line, _MOST_SAID)][-_MOST_LINES:]


def run(order: AppriseOrder, context: JobContext) -> events.Done:
    """Tell of each letter what became of it. Raises UsageError where Apprise is not there or knows no such address."""
    url = order.url.decode()
    apprise = _library()
    said = _Said(url)
    logger = logging.getLogger("apprise")
    logger.addHandler(said)
    logger.propagate = False
    sender = apprise.Apprise()
    if not sender.add(url):
        raise UsageError("Apprise does not know such an address", hint="https://github.com/caronc/apprise lists them")
    scheme = url.partition(":")[0]
    for letter in order.letters:
        context.cancel.check()
        said.lines.clear()
        content = letter.content
        is_sent = sender.notify(
            body=text_of(content), title=content.title, notify_type=_TYPES.get(content.event, "info")
        )
        if is_sent:
            tell(context, letter, "sent", f"{scheme}: took it")
        else:
            tell(context, letter, "later", f"{scheme}: {said.lines[-1] if said.lines else 'it was not taken'}")
    return events.Done(exit_code=0, result={}, warnings=context.warnings)


def _library() -> Any:
    try:
        return importlib.import_module("apprise")
    except ImportError as error:
        raise UsageError(
            "addresses of this kind need Apprise, which is not installed", hint="pip install 'backupd[notices]'"
        ) from error
