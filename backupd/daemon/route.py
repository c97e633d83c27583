"""What a route of the API is: who may take it, what comes in, what goes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from backupd.daemon.gate import Peer, Role
from backupd.daemon.services import Services
from backupd.daemon.web_server import web


class Call(NamedTuple):
    """One request on its way to its handler."""

    services: Services
    peer: Peer
    request: web.Request
    path: dict[str, str]
    """The parts of the path that are in braces."""
    body: Any
    """Of the route's type, None where it has none."""


class Route(NamedTuple):
    """One verb of the API."""

    method: str
    path: str
    name: str
    """Noun and verb, unique."""
    roles: tuple[Role, ...]
    """Any of them will do."""
    body: Any
    """A struct; None: the request has no body."""
    answer: Any
    """A struct; None: a stream of JSON lines."""
    handle: Callable[[Call], Awaitable[Any]]
    summary: str
    query: tuple[str, ...] = ()
    """Names of query parameters."""
