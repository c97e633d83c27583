"""Which server a proxy is tried with."""

from __future__ import annotations

from urllib.parse import urlsplit

from backupd.errors import UsageError
from backupd.model.api import DestinationList
from backupd.model.places import PlaceUrl, is_url
from backupd.model.proxies import host_and_port
from bkctl.dispatch import client_of
from bkctl.session import Session

_S3_ENDPOINT = "https://s3.amazonaws.com"
_USUAL_PORTS = {"sftp": 22, "webdav": 80, "webdavs": 443, "http": 80, "https": 443}
_WITH_TLS = ("webdavs", "https")


def target_of(session: Session, word: str | None, *, has_proxy: bool) -> tuple[str, int, bool]:
    """(host, port, whether it speaks TLS) of HOST:PORT, else of the daemon's first destination of a known address.

    has_proxy: the proxy is given, and no daemon asked. Raises UsageError, DaemonUnreachableError.
    """
    if word is not None:
        return *host_and_port(word), True
    if not has_proxy:
        for one in client_of(session).get("/v1/destinations", DestinationList).destinations:
            found = server_of(one.text.place) if is_url(one.text.place) else None
            if found is not None:
                return found
    raise UsageError("there is no server to try it with", hint="name one: --to HOST:PORT")


def server_of(place: str) -> tuple[str, int, bool] | None:
    """(host, port, whether it speaks TLS) of an address; None: only a vendor's program knows. Raises UsageError."""
    url = PlaceUrl.parse(place)
    if url.scheme == "s3":
        parts = urlsplit(url.options.get("endpoint", _S3_ENDPOINT))
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    else:
        scheme, host, port = url.scheme, url.host, url.port
    if scheme not in _USUAL_PORTS or not host:
        return None
    return host, port or _USUAL_PORTS[scheme], scheme in _WITH_TLS
