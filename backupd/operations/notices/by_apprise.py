"""Sends letters by Apprise, to all that it knows how to reach."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import quote

from backupd.destination.proxy import login_of
from backupd.errors import UsageError
from backupd.model import events
from backupd.model.notice_orders import AppriseOrder
from backupd.model.proxies import ProxyUrl, bracketed
from backupd.model.store_access import Proxy
from backupd.operations.context import JobContext
from backupd.operations.notices.telling import tell
from backupd.operations.notices.wording import text_of
from backupd.rules.notice_rules import shown
from backupd.settings import environment

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
_PROXY_WORDS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
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
    _set_way(order.proxy, [sys.modules[type(one).__module__] for one in sender])
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


def _set_way(proxy: Proxy | None, plugins: Iterable[ModuleType]) -> None:
    """Have what Apprise sends by HTTP go past the proxy. Raises UsageError for what would go out another way.

    Its plugins that speak HTTP use requests, which heeds the environment alone.
    """
    if proxy is None:
        environment.replace(_PROXY_WORDS, {})
        return
    if not all(hasattr(one, "requests") for one in plugins):
        raise UsageError(
            "addresses of this kind don't go past the proxy", hint="without it: bkctl notice edit NAME --proxy direct"
        )
    url, login = ProxyUrl.parse(proxy.url), login_of(proxy)
    if url.scheme == "socks5" and find_spec("socks") is None:
        hint = "install PySocks beside it, or without the proxy: bkctl notice edit NAME --proxy direct"
        raise UsageError("Apprise needs PySocks for a proxy of this kind", hint=hint)
    words = ":".join(quote(word, safe="") for word in login) + "@" if login is not None else ""
    scheme = "socks5h" if url.scheme == "socks5" else url.scheme
    way = f"{scheme}://{words}{bracketed(url.host)}:{url.port}"
    none = "localhost,127.0.0.1,::1"
    environment.replace(_PROXY_WORDS, {"HTTP_PROXY": way, "HTTPS_PROXY": way, "NO_PROXY": none})


def _library() -> Any:
    try:
        return importlib.import_module("apprise")
    except ImportError as error:
        raise UsageError(
            "addresses of this kind need Apprise, which is not installed", hint="pip install 'backupd[notices]'"
        ) from error
