"""aiohttp's server. Whoever wants it takes it from here.

As it is imported, aiohttp's client twice reads all certificates of the system: a third of the time in which the daemon
starts, for connections that it never makes.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager

_READ_CERTIFICATES = "set_default_verify_paths"


@contextmanager
def _without_certificates() -> Generator[None, None, None]:
    own = vars(ssl.SSLContext).get(_READ_CERTIFICATES)
    setattr(ssl.SSLContext, _READ_CERTIFICATES, lambda context: None)
    try:
        yield
    finally:
        if own is not None:
            setattr(ssl.SSLContext, _READ_CERTIFICATES, own)
        else:
            # Where the method is inherited, to take the attribute away is to have it back.
            delattr(ssl.SSLContext, _READ_CERTIFICATES)


with _without_certificates():
    from aiohttp import web

__all__ = ["web"]
