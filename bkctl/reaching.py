"""Whether the servers are reached at all: each host and port that destinations need, or the proxy before them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from backupd.errors import BackupError, UsageError
from backupd.model.api import ConfigView, DestinationList
from backupd.model.places import is_url
from backupd.model.proxies import ProxyUrl, bracketed
from backupd.model.sets import DestinationText
from backupd.model.status import Finding
from bkctl.daemon_client import DaemonClient
from bkctl.proxy_target import server_of
from bkctl.text import escape

_SECONDS = 5.0


def reach(client: DaemonClient) -> Iterator[Finding]:
    """Open a connection to each, once; nothing is said on it. Nothing where no daemon tells of destinations."""
    try:
        destinations = [one.text for one in client.get("/v1/destinations", DestinationList).destinations]
    except BackupError:
        return
    wanted: dict[tuple[str, int], list[str]] = {}
    places = [text for text in destinations if is_url(text.place)]
    general = _general_proxy(client) if places else None
    for text in places:
        found = _first_on_the_way(text, general)
        if found is not None:
            wanted.setdefault(found, []).append(text.name)
    for (host, port), names in wanted.items():
        yield _tried(host, port, f"for {', '.join(names)}")


def _general_proxy(client: DaemonClient) -> str | None:
    """Address of the proxy of all destinations that don't say otherwise."""
    try:
        settings = client.get("/v1/config", ConfigView).settings
    except BackupError:
        return None
    values: dict[str, Any] = {one.key: one.value for one in settings}
    found = values.get("proxy.url")
    return str(found) if found else None


def _first_on_the_way(text: DestinationText, general: str | None) -> tuple[str, int] | None:
    """Where a destination's connections go to."""
    own = text.proxy
    proxy = None if own == "direct" else own.url if own is not None else general
    try:
        if proxy is not None:
            parsed = ProxyUrl.parse(proxy)
            return parsed.host, parsed.port
        found = server_of(text.place)
    except UsageError:
        return None
    return found[:2] if found is not None else None


def _tried(host: str, port: int, whose: str) -> Finding:
    name = f"{bracketed(host)}:{port}"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        reason = "no answer in 5 s" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return Finding(
            check=f"server {escape(name)}",
            verdict="wrong",
            message=f"can't be connected to, {whose}: {reason}",
            mend="is the network up, the name right, the port open in firewalls on the way?",
        )
    return Finding(check=f"server {escape(name)}", verdict="ok", message=f"answers, {whose}")
